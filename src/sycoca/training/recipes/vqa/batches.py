"""Batches of images with questions and soft targets."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sycoca.data.loading.crops import CropBatch
from sycoca.data.loading.order import SamplePosition
from sycoca.data.samples import ImageTextSample, SampleSource
from sycoca.preprocess.token_batch import pad_tokens
from sycoca.preprocess.tokenizer import Tokenizer
from sycoca.records import BatchTotals, Images, QuestionBatch
from sycoca.training.recipes.vqa.answer_list import AnswerList

_KEPT_SAMPLES = 32_768
"""Samples whose encoded questions are kept in memory."""


class _EncodedQuestion(NamedTuple):
    """A tokenized question with its soft targets by answer index."""

    tokens: list[int]
    targets: dict[int, float]


@final
class QuestionBatches:
    """Makes batches of images with all questions of each sample."""

    def __init__(
        self, source: SampleSource, tokenizer: Tokenizer, context_length: int, answer_list: AnswerList
    ) -> None:
        self._known = lru_cache(_KEPT_SAMPLES)(lambda index: self._encode(source[index]))
        self._tokenizer = tokenizer
        self._context_length = context_length
        self._answer_list = answer_list

    def num_labels(self, position: SamplePosition) -> int:
        """Return the number of questions, over which the loss is averaged."""
        return len(self._known(position[1]))

    def batch(
        self,
        crops: CropBatch,
        images: Images,
        draw_keys: Int[Tensor, " batch"],
        totals: BatchTotals,
    ) -> QuestionBatch:
        """Return a batch of crops with their questions."""
        return self._batch([self._known(index) for _, index in crops.positions], images, draw_keys, totals)

    def in_order(
        self,
        samples: Sequence[ImageTextSample],
        images: Float[Tensor, "batch 3 height width"],
        draw_keys: Int[Tensor, " batch"],
    ) -> QuestionBatch:
        """Return a validation batch: every image with its questions."""
        questions = [self._encode(sample) for sample in samples]
        totals = BatchTotals(num_samples=len(samples), num_labels=sum(map(len, questions)))
        return self._batch(questions, images, draw_keys, totals)

    def _batch(
        self,
        questions: Sequence[Sequence[_EncodedQuestion]],
        images: Images,
        draw_keys: Int[Tensor, " batch"],
        totals: BatchTotals,
    ) -> QuestionBatch:
        asked = [question for own in questions for question in own]
        texts = pad_tokens([question.tokens for question in asked], self._tokenizer.special.pad_id)
        return QuestionBatch(
            images=images,
            tokens=texts.tokens,
            is_padding=texts.is_padding,
            image_of_question=torch.tensor([row for row, own in enumerate(questions) for _ in own]),
            targets=self._answer_list.rows([question.targets for question in asked]),
            most_questions=max(map(len, questions)),
            num_tokens=sum(len(question.tokens) for question in asked),
            draw_keys=draw_keys,
            totals=totals,
        )

    def _encode(self, sample: ImageTextSample) -> list[_EncodedQuestion]:
        return [
            _EncodedQuestion(
                tokens=self._tokenizer.encode(question.question, self._context_length),
                targets=self._answer_list.targets(question),
            )
            for question in sample.questions
        ]
