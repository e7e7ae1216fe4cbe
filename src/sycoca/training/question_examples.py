"""Questions and how right each answer is, beside the images of a training batch."""

from collections.abc import Sequence
from typing import NamedTuple, final

from jaxtyping import Float, Int
from torch import Tensor

from sycoca.data.crops import CropBatch, Place
from sycoca.data.samples import ImageTextSample, Question, SampleSource
from sycoca.preprocess.token_batch import pad_tokens
from sycoca.preprocess.tokenizer import Tokenizer
from sycoca.records import BatchTotals, QuestionBatch
from sycoca.training.answer_lists import AnswerList


class _EncodedQuestion(NamedTuple):
    """A question as token ids, and how right which answers are."""

    tokens: list[int]
    targets: dict[int, float]


@final
class QuestionExamples:
    """The one question of every sample, with soft targets."""

    def __init__(
        self, source: SampleSource, tokenizer: Tokenizer, context_length: int, answer_list: AnswerList
    ) -> None:
        self._source = source
        self._encoded: dict[int, _EncodedQuestion] = {}
        self._tokenizer = tokenizer
        self._context_length = context_length
        self._answer_list = answer_list

    def num_labels(self, place: Place) -> int:  # noqa: ARG002 (the same for all)
        """Return 0: nothing is generated."""
        return 0

    def batch(
        self,
        crops: CropBatch,
        images: Float[Tensor, "batch 3 height width"],
        draw_keys: Int[Tensor, " batch"],
        totals: BatchTotals,
    ) -> QuestionBatch:
        """Return images with their questions."""
        return self._batch([self._known(index) for _, index in crops.places], images, draw_keys, totals)

    def in_order(
        self,
        samples: Sequence[ImageTextSample],
        images: Float[Tensor, "batch 3 height width"],
        draw_keys: Int[Tensor, " batch"],
    ) -> QuestionBatch:
        """Return every image with its question."""
        totals = BatchTotals(num_samples=len(samples), num_labels=0)
        return self._batch([self._encode(sample.questions[0]) for sample in samples], images, draw_keys, totals)

    def _batch(
        self,
        questions: Sequence[_EncodedQuestion],
        images: Float[Tensor, "batch 3 height width"],
        draw_keys: Int[Tensor, " batch"],
        totals: BatchTotals,
    ) -> QuestionBatch:
        texts = pad_tokens([question.tokens for question in questions], self._tokenizer.special.pad_id)
        return QuestionBatch(
            images=images,
            tokens=texts.tokens,
            is_padding=texts.is_padding,
            targets=self._answer_list.rows([question.targets for question in questions]),
            draw_keys=draw_keys,
            totals=totals,
        )

    def _known(self, index: int) -> _EncodedQuestion:
        if index not in self._encoded:
            self._encoded[index] = self._encode(self._source[index].questions[0])
        return self._encoded[index]

    def _encode(self, question: Question) -> _EncodedQuestion:
        tokens = self._tokenizer.encode(question.question, self._context_length)
        return _EncodedQuestion(tokens=tokens, targets=self._answer_list.targets(question))
