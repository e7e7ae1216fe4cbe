"""What the text decoder says about images: captions, answers and likelihoods; a base of `Predictor`."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Unpack

import torch
from jaxtyping import Float
from torch import Tensor

from sycoca.inference.batches import in_length_order, joined_rows
from sycoca.inference.caption_likelihoods import caption_log_likelihoods
from sycoca.inference.captioning import generate_captions
from sycoca.inference.decoding.generation import GeneratedCaption
from sycoca.inference.decoding.generation_config import GenerationConfig, GenerationOptions
from sycoca.inference.embedder import Embedder
from sycoca.inference.inputs import ImageInput, Images, batches_with, image_batches, listed_lists
from sycoca.inference.vqa import RankedAnswer, generate_answers, rank_answers
from sycoca.keywords import check_type, suggests_keywords
from sycoca.precision import check_finite
from sycoca.texts import is_visible, listed_texts, one_text
from sycoca.weights.limits import guidance_cautions


class Captioner(Embedder):
    """A model that captions images and answers questions about them; see `Predictor`."""

    @suggests_keywords
    def caption(self, images: Images, *, batch_size: int = 64, **options: Unpack[GenerationOptions]) -> list[str]:
        """Return one caption per image; ``options`` are the fields of ``GenerationConfig``.

        Greedy by default; ``num_beams=4`` is beam search, ``temperature=1.0, top_p=0.9, seed=0`` samples, and
        ``guidance_scale=2.0`` says more of what tells the image from others, if the model was trained for it. Raises
        ValueError for a model without text decoder.
        """
        generated = self.generate(images, GenerationConfig(**options), batch_size=batch_size)
        return [self.tokenizer.decode(caption.tokens) for caption in generated]

    @suggests_keywords
    def generation_cautions(self, config: GenerationConfig) -> tuple[str, ...]:
        """Return why captions that are generated so cannot be relied on; nothing where they can."""
        return (*self.cautions("captions"), *(guidance_cautions(self.config) if config.is_guided else ()))

    @suggests_keywords
    def generate(
        self,
        images: Images,
        config: GenerationConfig,
        *,
        batch_size: int = 64,
        first_index: int = 0,
        indices: Sequence[int] | None = None,
    ) -> Iterator[GeneratedCaption]:
        """Yield each image's caption as token ids with its log-likelihood given the image, batch by batch.

        ``first_index`` is the first image's index in a longer list: with it a list that is captioned in parts
        gets the same sampled captions as in one call. ``indices`` are those of all images, where some are left out.
        """
        check_type(config, GenerationConfig, "config", "a GenerationConfig")
        self.check_ability("captions")
        self._warn_once(self.generation_cautions(config))
        for first, batch in image_batches(images, batch_size):
            with torch.no_grad():
                captions = generate_captions(
                    self.model,
                    self._memory(batch, first),
                    self.tokenizer.special,
                    config,
                    first_index=first_index + first,
                    indices=None if indices is None else indices[first : first + len(batch)],
                )
            yield from captions

    @suggests_keywords
    def ask(self, image: ImageInput, question: str, *, open_ended: bool = False) -> str:
        """Answer a question: with the most probable answer of a fine-tuned model's list, or with ``open_ended`` by
        the text decoder's continuation of the question.

        Raises ValueError for a model without a list of answers, or without text decoder.
        """
        asked = [[one_text(question, "question")]]
        if open_ended:
            return next(self.write_answers([image], asked, GenerationConfig()))[0]
        return next(self.answers([image], asked))[0][0].answer

    @suggests_keywords
    def answers(
        self,
        images: Images,
        questions: Iterable[Iterable[str]],
        *,
        top: int = 1,
        batch_size: int = 64,
        warns: bool = True,
    ) -> Iterator[list[tuple[RankedAnswer, ...]]]:
        """Yield for every image the ``top`` answers of the list to each of its questions, the most probable first."""
        for rows, memory, asked in self._asked(images, questions, batch_size, warns=warns):
            with torch.no_grad():
                yield from rank_answers(
                    self.model, memory, asked[rows], self.tokenizer, self.config, top=top, max_rows=batch_size
                )

    @suggests_keywords
    def write_answers(
        self,
        images: Images,
        questions: Iterable[Iterable[str]],
        config: GenerationConfig,
        *,
        batch_size: int = 64,
        first_index: int = 0,
        warns: bool = True,
    ) -> Iterator[list[str]]:
        """Yield for every image the text decoder's continuation of each of its questions."""
        generated = self.generate_answers(
            images, questions, config, batch_size=batch_size, first_index=first_index, warns=warns
        )
        return ([self.tokenizer.decode(answer.tokens) for answer in own] for own in generated)

    @suggests_keywords
    def generate_answers(
        self,
        images: Images,
        questions: Iterable[Iterable[str]],
        config: GenerationConfig,
        *,
        batch_size: int = 64,
        first_index: int = 0,
        warns: bool = True,
    ) -> Iterator[list[GeneratedCaption]]:
        """Yield the same continuations as token ids with their log-likelihoods."""
        check_type(config, GenerationConfig, "config", "a GenerationConfig")
        self.check_ability("captions")
        self._warn_once(self.generation_cautions(config))
        for rows, memory, asked in self._asked(images, questions, batch_size, warns=warns):
            with torch.no_grad():
                yield from generate_answers(
                    self.model,
                    memory,
                    asked[rows],
                    self.tokenizer,
                    config,
                    first_index=first_index + sum(map(len, asked[: rows.start])),
                    max_rows=batch_size,
                )

    @suggests_keywords
    @torch.no_grad()
    def caption_log_likelihood(
        self, images: Images, captions: Iterable[str], *, per_token: bool = False, batch_size: int = 64
    ) -> Float[Tensor, " pairs"]:
        """Return the log-likelihood of each caption given its image: the sum of its tokens' log-probabilities.

        Natural logarithm, the end token included. ``per_token`` returns the mean over tokens instead, so that long
        and short captions are comparable. A caption longer than the context is truncated. Raises ValueError for a
        model without text decoder.
        """
        captions = listed_texts(captions, "captions")
        self._use("captions")
        self.warn_of_truncation(captions, "captions")

        def score(first: int, batch: Sequence[object]) -> Tensor:
            texts = self._tokens(captions[first : first + len(batch)])
            return caption_log_likelihoods(self.model, self._memory(batch, first), texts, per_token=per_token)

        batches = batches_with(images, len(captions), "captions", batch_size)
        found = joined_rows((score(*own) for own in batches), ())
        check_finite(found, "log-likelihood")
        return found

    @suggests_keywords
    @torch.no_grad()
    def candidate_log_likelihoods(
        self, images: Images, candidates: Iterable[Iterable[str]], *, batch_size: int = 64
    ) -> list[Float[Tensor, " candidates"]]:
        """Return the log-likelihood per token of each image's own candidate captions.

        Equals ``caption_log_likelihood(..., per_token=True)``, but every image is encoded once.
        """
        listed = listed_lists(candidates, "candidates")
        self._use("captions")
        found = []
        for first, batch in batches_with(images, len(listed), "lists of candidates", batch_size):
            for image, captions in zip(self._memory(batch, first), listed[first : first + len(batch)], strict=True):
                found.append(in_length_order(self._scorer(image), self._token_ids(captions), batch_size))
                check_finite(found[-1], "log-likelihood of candidate")
        return found

    def _memory(self, images: Sequence[object], first: int) -> Float[Tensor, "batch memory memory_width"]:
        return self.model.memory(self.model.encode_images(self._pixels(images, first)))

    def _asked(
        self, images: Images, questions: Iterable[Iterable[str]], batch_size: int, *, warns: bool
    ) -> Iterator[tuple[slice, Float[Tensor, "batch memory memory_width"], list[list[str]]]]:
        """Yield batches of images with all questions: the rows of the batch, its memory, the questions as lists."""
        asked = listed_lists(questions, "questions")
        if not all(is_visible(question) for own in asked for question in own):
            raise ValueError("a question is empty; ask something")
        if warns:
            self.warn_of_truncation([question for own in asked for question in own], "questions")
        for first, batch in batches_with(images, len(asked), "lists of questions", batch_size):
            with torch.no_grad():
                memory = self._memory(batch, first)
            yield slice(first, first + len(batch)), memory, asked

    def _scorer(
        self, memory: Float[Tensor, "memory memory_width"]
    ) -> Callable[[Sequence[Sequence[int]]], Float[Tensor, " captions"]]:
        return lambda sequences: caption_log_likelihoods(
            self.model, memory[None], self._padded(sequences), per_token=True
        )
