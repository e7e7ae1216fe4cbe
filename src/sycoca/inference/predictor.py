"""Predictor: the interface for users. Images and strings in, plain values out."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Unpack, final

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sycoca.data.class_lists import NamedClass, checked_templates, listed_classes, named_classes
from sycoca.inference.batches import joined_rows
from sycoca.inference.captioner import Captioner
from sycoca.inference.classification import PHOTO_TEMPLATES, PromptOptions, head_names, image_scorer, scorer_ability
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
from sycoca.inference.inputs import ImageInput, Images, batches_with, image_batches
from sycoca.keywords import suggests_keywords
from sycoca.precision import check_finite
from sycoca.preprocess.image_transforms import to_pictures
from sycoca.texts import listed_texts, one_text


@final
class Predictor(Captioner):
    """A model with tokenizer and transforms: embeds, captions, answers, classifies, scores, reconstructs and explains.

    Images are one or many: PIL images, paths, bytes of a file, open files, NumPy arrays (height, width, channels),
    tensors (channels, height, width), or functions that open one; in lists, iterators (consumed once, batch by batch)
    or arrays with a dimension more. Pixels are RGB: uint8, uint16, floats from 0 to 1. Texts are lists. Results are on
    the CPU in float32, without gradients; one image gives a list of one, and an empty list an empty result.
    """

    @suggests_keywords
    def classify(
        self,
        images: Images,
        class_names: Iterable[str] | None = None,
        *,
        batch_size: int = 64,
        **options: Unpack[PromptOptions],
    ) -> list[str]:
        """Return the name of each image's most probable class; see `class_probabilities`."""
        names = head_names(self.config) if class_names is None else listed_classes(class_names)
        given = None if class_names is None else names
        probabilities = self.class_probabilities(images, given, batch_size=batch_size, **options)
        return [names[int(index)] for index in probabilities.argmax(1)]

    @suggests_keywords
    def class_probabilities(
        self,
        images: Images,
        class_names: Iterable[str] | None = None,
        *,
        batch_size: int = 64,
        **options: Unpack[PromptOptions],
    ) -> Float[Tensor, "images classes"]:
        """Return the probability of every class for every image, in the order of ``class_names``.

        Zero-shot: the names of any classes are put into prompts. Without names the classification head of a fine-tuned
        model chooses from ``config.class_names``.
        """
        classes = None if class_names is None else named_classes(class_names)
        scores = self.class_scores(images, classes, batch_size=batch_size, **options)
        num_classes = len(head_names(self.config) if classes is None else classes)
        return joined_rows((own.softmax(1) for own in scores), (num_classes,))

    @suggests_keywords
    def class_scores(
        self,
        images: Images,
        classes: Sequence[NamedClass] | None,
        *,
        batch_size: int = 64,
        **options: Unpack[PromptOptions],
    ) -> Iterator[Float[Tensor, "batch classes"]]:
        """Yield logits of the classes, or of the head's classes for None, batch by batch, float32 on the CPU."""
        if classes is not None:
            self._use(scorer_ability(options.get("scorer", "cosine")))
            options["templates"] = checked_templates(options.get("templates", PHOTO_TEMPLATES))
            self.check_prompts(classes, options["templates"])
        embed_texts = partial(self.embed_texts, warns=False)
        with torch.no_grad():
            score = image_scorer(self.model, self.config, self._tokens, embed_texts, classes, **options)
        for first, batch in image_batches(images, batch_size):
            with torch.no_grad():
                found = score(self.model.encode_images(self._pixels(batch, first))).float().cpu()
            check_finite(found, "row of class scores")
            yield found

    @suggests_keywords
    @torch.no_grad()
    def patch_scores(
        self, images: Images, captions: Iterable[str], *, batch_size: int = 64
    ) -> Float[Tensor, "pairs patches"]:
        """Return how well each patch, row by row, matches the caption: the cosine that chooses masks in training."""
        captions = listed_texts(captions, "captions")
        self._use("similarities")
        found = joined_rows(
            (
                self._scores(self._pairs(batch, captions[first : first + len(batch)], first))
                for first, batch in batches_with(images, len(captions), "captions", batch_size)
            ),
            (self.model.config.image_encoder.num_patches,),
        )
        check_finite(found, "row of patch scores")
        return found

    @suggests_keywords
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
        self._require("image_decoder")
        pair = self._pairs([image], [one_text(caption, "caption")], None)
        if is_masked is None:
            return self._reconstruct(pair, training_choice(self._scores(pair), self.config.masking).masked.is_chosen)
        mask = checked_mask(is_masked, self.model.config.image_encoder.num_patches)
        return self._reconstruct(pair, mask.to(pair.pixels.device))

    @suggests_keywords
    @torch.no_grad()
    def explain(self, image: ImageInput, caption: str, *, warns: bool = True) -> Explanation:
        """Return which patches match the caption and each of its words, and which training would mask and reconstruct.

        For random masks in training, the result is one sample. With ``warns`` a warning about a truncated caption is
        logged.
        """
        one_text(caption, "caption")
        if warns:
            self.warn_of_truncation([caption], "captions")
        self._use("similarities")
        pair = self._pairs([image], [caption], None)
        words = self.tokenizer.word_spans(caption, self.context_length)
        scores = self._scores(pair)
        choice = training_choice(scores, self.config.masking)
        is_masked = choice.masked.is_chosen
        return Explanation(
            caption=caption,
            words=tuple(word.word for word in words),
            original=to_pictures(pair.pixels.float(), self.config.transforms)[0],
            patch_scores=to_grid(scores[0]),
            relevance=word_relevance(self.model, pair, words).cpu().numpy(),
            is_hidden_from_captioner=to_grid(choice.hidden.is_chosen[0]),
            is_masked=to_grid(is_masked[0]),
            reconstruction=None if self.model.image_decoder is None else self._reconstruct(pair, is_masked),
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

    def _pairs(self, images: Sequence[object], captions: Sequence[str], first: int | None) -> EncodedPairs:
        return encode_pairs(self.model, self._pixels(images, first), self._tokens(captions))
