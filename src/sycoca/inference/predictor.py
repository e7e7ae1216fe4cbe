"""Predictor: the interface for users. Images and strings in, plain values out."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Unpack, final

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sycoca.data.class_lists import NamedClass, named_classes
from sycoca.inference.batches import in_batches, in_length_order
from sycoca.inference.captioning import caption_log_likelihoods, generate_captions
from sycoca.inference.classification import PHOTO_TEMPLATES, PromptOptions, head_names, image_scorer
from sycoca.inference.embedder import Embedder
from sycoca.inference.explanation import (
    EncodedPairs,
    Explanation,
    Reconstruction,
    checked_mask,
    encode_pairs,
    pair_patch_scores,
    reconstruct_pair,
    to_grid,
    training_choice,
    word_relevance,
)
from sycoca.inference.generation import GeneratedCaption
from sycoca.inference.generation_config import GenerationConfig, GenerationOptions
from sycoca.inference.inputs import ImageInput, check_list, check_pairs
from sycoca.inference.vqa import RankedAnswer, check_questions, flattened, rank_answers, write_answers
from sycoca.precision import check_finite
from sycoca.preprocess.image_transforms import to_pictures


@final
class Predictor(Embedder):
    """A model with tokenizer and transforms: embeds, captions, answers, classifies, scores, reconstructs and explains.

    Images are PIL images, paths or functions that open one. Lists of any length are processed in batches. Results are
    on the CPU in float32, without gradients.
    """

    def caption(
        self, images: Sequence[ImageInput], *, batch_size: int = 64, **options: Unpack[GenerationOptions]
    ) -> list[str]:
        """Return one caption per image; ``options`` are the fields of ``GenerationConfig``.

        Greedy by default; ``num_beams=4`` is beam search, ``temperature=1.0, top_p=0.9, seed=0`` samples. Raises
        ValueError for a model without text decoder.
        """
        generated = self.generate(images, GenerationConfig(**options), batch_size=batch_size)
        return [self.tokenizer.decode(caption.tokens) for caption in generated]

    def generate(
        self,
        images: Sequence[ImageInput],
        config: GenerationConfig,
        *,
        batch_size: int = 64,
        first_index: int = 0,
    ) -> Iterator[GeneratedCaption]:
        """Yield each image's caption as token ids with its log-likelihood, batch by batch.

        ``first_index`` is the first image's index in a longer list: with it a list that is captioned in parts
        gets the same sampled captions as in one call.
        """
        check_list(images, "images")
        for start in range(0, len(images), batch_size):
            with torch.no_grad():
                encoded = self.model.encode_images(self._pixels(images[start : start + batch_size]))
                captions = generate_captions(
                    self.model,
                    self.model.memory(encoded),
                    self.tokenizer.special,
                    config,
                    first_index=first_index + start,
                )
            yield from captions

    def ask(self, image: ImageInput, question: str, *, open_ended: bool = False) -> str:
        """Answer a question: with the most probable answer of a fine-tuned model's list, or with ``open_ended`` by
        the text decoder's continuation of the question.

        Raises ValueError for a model without a list of answers, or without text decoder.
        """
        if open_ended:
            return next(self.write_answers([image], [[question]], GenerationConfig()))[0]
        return next(self.answers([image], [[question]]))[0][0].answer

    def answers(
        self,
        images: Sequence[ImageInput],
        questions: Sequence[Sequence[str]],
        *,
        top: int = 1,
        batch_size: int = 64,
        warns: bool = True,
    ) -> Iterator[list[tuple[RankedAnswer, ...]]]:
        """Yield for every image the ``top`` answers of the list to each of its questions, the most probable first."""
        self.warn_of_truncation(flattened(questions) if warns else [], "questions")
        for rows, memory in self._encoded_images(images, questions, batch_size):
            with torch.no_grad():
                yield from rank_answers(
                    self.model, memory, questions[rows], self.tokenizer, self.config, top=top, max_rows=batch_size
                )

    def write_answers(
        self,
        images: Sequence[ImageInput],
        questions: Sequence[Sequence[str]],
        config: GenerationConfig,
        *,
        batch_size: int = 64,
        first_index: int = 0,
        warns: bool = True,
    ) -> Iterator[list[str]]:
        """Yield for every image the text decoder's continuation of each of its questions."""
        self.warn_of_truncation(flattened(questions) if warns else [], "questions")
        for rows, memory in self._encoded_images(images, questions, batch_size):
            with torch.no_grad():
                yield from write_answers(
                    self.model,
                    memory,
                    questions[rows],
                    self.tokenizer,
                    config,
                    first_index=first_index + sum(map(len, questions[: rows.start])),
                    max_rows=batch_size,
                )

    @torch.no_grad()
    def caption_log_likelihood(
        self, images: Sequence[ImageInput], captions: Sequence[str], *, per_token: bool = False, batch_size: int = 64
    ) -> Float[Tensor, " pairs"]:
        """Return the log-likelihood of each caption given its image: the sum of its tokens' log-probabilities.

        Natural logarithm, the end token included. ``per_token`` returns the mean over tokens instead, so that long
        and short captions are comparable. A caption longer than the context is truncated. Raises ValueError for a
        model without text decoder.
        """
        check_pairs(images, captions)
        self.warn_of_truncation(captions, "captions")

        def score(rows: slice) -> Tensor:
            memory = self.model.memory(self.model.encode_images(self._pixels(images[rows])))
            return caption_log_likelihoods(self.model, memory, self._tokens(captions[rows]), per_token=per_token)

        found = in_batches(score, len(images), batch_size)
        check_finite(found, "log-likelihood")
        return found

    @torch.no_grad()
    def candidate_log_likelihoods(
        self, images: Sequence[ImageInput], candidates: Sequence[Sequence[str]], *, batch_size: int = 64
    ) -> list[Float[Tensor, " candidates"]]:
        """Return the log-likelihood per token of each image's own candidate captions.

        Equals ``caption_log_likelihood(..., per_token=True)``, but every image is encoded once.
        """
        check_pairs(images, candidates)
        found = []
        for start in range(0, len(images), batch_size):
            memory = self.model.memory(self.model.encode_images(self._pixels(images[start : start + batch_size])))
            for image, captions in zip(memory, candidates[start : start + batch_size], strict=True):
                found.append(in_length_order(self._scorer(image), self._token_ids(captions), batch_size))
                check_finite(found[-1], "log-likelihood of candidate")
        return found

    def classify(
        self, images: Sequence[ImageInput], class_names: Sequence[str] | None = None, **options: Unpack[PromptOptions]
    ) -> list[str]:
        """Return the name of each image's most probable class; see `class_probabilities`."""
        probabilities = self.class_probabilities(images, class_names, **options)
        names = head_names(self.config) if class_names is None else class_names
        return [names[int(index)] for index in probabilities.argmax(1)]

    def class_probabilities(
        self, images: Sequence[ImageInput], class_names: Sequence[str] | None = None, **options: Unpack[PromptOptions]
    ) -> Float[Tensor, "images classes"]:
        """Return the probability of every class for every image, in the order of ``class_names``.

        Zero-shot: the names of any classes are put into prompts. Without names the classification head of a fine-tuned
        model chooses from ``config.class_names``.
        """
        classes = None if class_names is None else named_classes(class_names)
        return torch.cat([own.softmax(1) for own in self.class_scores(images, classes, **options)])

    def class_scores(
        self,
        images: Sequence[ImageInput],
        classes: Sequence[NamedClass] | None,
        *,
        batch_size: int = 64,
        **options: Unpack[PromptOptions],
    ) -> Iterator[Float[Tensor, "batch classes"]]:
        """Yield logits of the classes, or of the head's classes for None, batch by batch, float32 on the CPU."""
        check_list(images, "images")
        if classes is not None:
            self.check_prompts(classes, options.get("templates", PHOTO_TEMPLATES))
        embed_texts = partial(self.embed_texts, warns=False)
        with torch.no_grad():
            score = image_scorer(self.model, self.config, self._tokens, embed_texts, classes, **options)
        for start in range(0, len(images), batch_size):
            with torch.no_grad():
                found = score(self.model.encode_images(self._pixels(images[start : start + batch_size]))).float().cpu()
            check_finite(found, "row of class scores")
            yield found

    @torch.no_grad()
    def patch_scores(
        self, images: Sequence[ImageInput], captions: Sequence[str], *, batch_size: int = 64
    ) -> Float[Tensor, "pairs patches"]:
        """Return how well each patch, row by row, matches the caption: the cosine that chooses masks in training."""
        check_pairs(images, captions)
        found = in_batches(
            lambda rows: self._scores(self._pairs(images[rows], captions[rows])), len(images), batch_size
        )
        check_finite(found, "row of patch scores")
        return found

    @torch.no_grad()
    def reconstruct(
        self, image: ImageInput, caption: str, is_masked: Bool[np.ndarray, "rows columns"] | None = None
    ) -> Reconstruction:
        """Predict the masked patches of an image from the others and the caption.

        Without ``is_masked`` the patches are masked that training would mask for this caption. A model trained on
        patches normalized by their mean and standard deviation predicts neither: both are taken from the true patch,
        so brightness and contrast of a reconstruction are not the model's. Raises ValueError for a model without
        image decoder, and for a mask that does not have the patches' grid or masks all or none of them.
        """
        pair = self._pairs([image], [caption])
        if is_masked is None:
            return self._reconstruct(pair, training_choice(self._scores(pair), self.config.masking).is_masked)
        mask = checked_mask(is_masked, self.model.config.image_encoder.num_patches)
        return self._reconstruct(pair, mask.to(pair.pixels.device))

    @torch.no_grad()
    def explain(self, image: ImageInput, caption: str) -> Explanation:
        """Return which patches match the caption and each of its words, and which training would mask and reconstruct.

        For random masks in training, the result is one sample.
        """
        self.warn_of_truncation([caption], "captions")
        pair = self._pairs([image], [caption])
        words = self.tokenizer.word_spans(caption, self.context_length)
        scores = self._scores(pair)
        choice = training_choice(scores, self.config.masking)
        return Explanation(
            caption=caption,
            words=tuple(word.word for word in words),
            original=to_pictures(pair.pixels.float(), self.config.transforms)[0],
            patch_scores=to_grid(scores[0]),
            relevance=word_relevance(self.model, pair, words).cpu().numpy(),
            is_hidden_from_captioner=to_grid(choice.is_hidden[0]),
            is_masked=to_grid(choice.is_masked[0]),
            reconstruction=None if self.model.image_decoder is None else self._reconstruct(pair, choice.is_masked),
        )

    def _reconstruct(self, pair: EncodedPairs, is_masked: Bool[Tensor, "1 patches"]) -> Reconstruction:
        return reconstruct_pair(
            self.model,
            pair,
            is_masked,
            transforms=self.config.transforms,
            normalizes_patches=self.config.normalizes_patches,
        )

    def _scores(self, pairs: EncodedPairs) -> Float[Tensor, "batch patches"]:
        return pair_patch_scores(self.model, pairs, self.config.masking)

    def _pairs(self, images: Sequence[ImageInput], captions: Sequence[str]) -> EncodedPairs:
        return encode_pairs(self.model, self._pixels(images), self._tokens(captions))

    def _encoded_images(
        self, images: Sequence[ImageInput], questions: Sequence[Sequence[str]], batch_size: int
    ) -> Iterator[tuple[slice, Float[Tensor, "batch memory memory_width"]]]:
        check_questions(images, questions)
        for start in range(0, len(images), batch_size):
            rows = slice(start, start + batch_size)
            with torch.no_grad():
                memory = self.model.memory(self.model.encode_images(self._pixels(images[rows])))
            yield rows, memory

    def _scorer(
        self, memory: Float[Tensor, "memory memory_width"]
    ) -> Callable[[Sequence[Sequence[int]]], Float[Tensor, " captions"]]:
        return lambda sequences: caption_log_likelihoods(
            self.model, memory[None], self._padded(sequences), per_token=True
        )
