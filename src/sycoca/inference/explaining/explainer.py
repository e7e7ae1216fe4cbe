"""Where a model looks: patch scores, reconstructions and explanations; a base of `Predictor`."""

import math
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sycoca.facts.other_captions import OTHER_CAPTIONS
from sycoca.inference.batches import joined_rows
from sycoca.inference.caption_likelihoods import token_log_likelihoods
from sycoca.inference.captioner import Captioner
from sycoca.inference.captioning import generate_captions
from sycoca.inference.decoding.generation_config import GenerationConfig
from sycoca.inference.explaining.caption_words import CaptionWords, caption_words
from sycoca.inference.explaining.explained_pairs import (
    ExplainedPairs,
    checked_mask,
    encode_explained_pairs,
    one_pair,
    other_patch_scores,
    own_patch_scores,
    pair_patch_scores,
    phrase_maps,
    reconstruct_pair,
    reconstruction_errors,
    to_grid,
    training_choice,
    word_attention,
    word_relevance,
)
from sycoca.inference.explaining.explanation import (
    CaptionedReconstruction,
    Explanation,
    GeneratedExplanation,
    NounPhrase,
    OtherCaptions,
    Reconstruction,
)
from sycoca.inference.inputs import ImageInput, Images, batches_with
from sycoca.keywords import suggests_keywords
from sycoca.model.patches import split_by_mask
from sycoca.precision import check_finite
from sycoca.preprocess.image_transforms import to_pictures
from sycoca.records import EncodedImages
from sycoca.texts import listed_texts, one_text
from sycoca.weights.limits import has_part, why_missing


class Explainer(Captioner):
    """A model that shows which patches match a caption and reconstructs masked ones; see `Predictor`."""

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
    def noun_phrases(
        self, images: Images, captions: Iterable[str], *, batch_size: int = 64
    ) -> list[tuple[NounPhrase, ...]]:
        """Return the noun phrases of each image's caption with their patch scores, as `explain` does."""
        captions = listed_texts(captions, "captions")
        self._use("similarities")
        found = []
        for first, batch in batches_with(images, len(captions), "captions", batch_size):
            own = captions[first : first + len(batch)]
            pairs = self._pairs(batch, own, first)
            found += [self._noun_phrases(one_pair(pairs, row), caption) for row, caption in enumerate(own)]
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
    def reconstruction_errors(
        self, images: Images, captions: Iterable[str], is_masked: Bool[Tensor, "pairs patches"], *, batch_size: int = 64
    ) -> Float[Tensor, "pairs masked"]:
        """Return the mean squared error of each masked patch, in the order of patches, as TG-MIM trains on it.

        ``is_masked`` masks the same number of patches in every image. Raises ValueError for a model without image
        decoder.
        """
        captions = listed_texts(captions, "captions")
        self._require("image_decoder")
        errors = []
        for first, batch in batches_with(images, len(captions), "captions", batch_size):
            rows = slice(first, first + len(batch))
            pixels, texts = self._pixels(batch, first), self._tokens(captions[rows])
            masked = split_by_mask(is_masked[rows].to(pixels.device))
            normalizes = self.config.normalizes_patches
            errors.append(reconstruction_errors(self.model, pixels, texts, masked, normalizes_patches=normalizes))
        found = joined_rows(errors, (0,))
        check_finite(found, "row of reconstruction errors")
        return found

    @suggests_keywords
    @torch.no_grad()
    def explain(
        self,
        image: ImageInput,
        caption: str | None = None,
        *,
        other_captions: Iterable[str] | None = None,
        edited_caption: str | None = None,
        reconstructs: bool = True,
        generates: bool = True,
        warns: bool = True,
    ) -> Explanation:
        """Return which patches match the caption and each of its words, and which training would mask and reconstruct.

        Without ``caption`` the model's own is explained. ``other_captions`` are the baseline that scores and rank are
        compared with: by default those of `sycoca.facts.other_captions`, none for an empty list. The caption itself is
        left out of them. The masked patches are reconstructed under the caption, under an empty one where it is not
        empty, and under ``edited_caption``, unless ``reconstructs`` is off. Without
        ``generates`` the model's own caption is left out. For random masks in training, the result is one sample. With
        ``warns`` a warning about a truncated caption is logged.
        Raises ValueError where no caption is given and the model has no text decoder.
        """
        self._use("similarities")
        if caption is None:
            self._use("captions")
        pixels = self._pixels([image], None)
        encoded = self.model.encode_images(pixels)
        generated = self._generated(encoded) if generates or caption is None else None
        caption = generated.caption if caption is None and generated is not None else one_text(caption, "caption")
        if warns:
            self.warn_of_truncation([caption], "captions")
        pair = self._with_caption(pixels, encoded, caption)
        scores = self._scores(pair)
        check_finite(scores, "row of patch scores")
        choice = training_choice(scores, self.config.masking)
        is_masked = choice.masked.is_chosen if reconstructs and self.model.image_decoder is not None else None
        read = self._words(pair, caption)
        relevance = word_relevance(self.model, pair, read.positions).cpu().numpy()
        grid = to_grid(scores[0])
        phrases = phrase_maps(caption, read.words, relevance.reshape(-1, *grid.shape))
        return Explanation(
            caption=caption,
            words=read.words,
            spans=read.spans,
            original=to_pictures(pixels.float(), self.config.transforms)[0],
            patch_scores=grid,
            image_scores=to_grid(own_patch_scores(self.model, encoded)[0]),
            relevance=relevance,
            noun_phrases=phrases,
            cosine=float((encoded.image_embeds * pair.captions.text_embeds).sum()),
            others=self._others(pair, caption, OTHER_CAPTIONS if other_captions is None else other_captions),
            tokens=read.tokens,
            word_log_likelihoods=read.log_likelihoods,
            generated=generated,
            is_hidden_from_captioner=to_grid(choice.hidden.is_chosen[0]),
            is_masked=to_grid(choice.masked.is_chosen[0]),
            reconstruction=None if is_masked is None else self._reconstruct(pair, is_masked),
            other_reconstructions=()
            if is_masked is None
            else self._other_reconstructions(pair, caption, is_masked, edited_caption),
            is_truncated=self.num_truncated([caption]) > 0,
            absent=self._absent(has_phrases=len(phrases) > 0),
        )

    def _noun_phrases(self, pair: ExplainedPairs, caption: str) -> tuple[NounPhrase, ...]:
        positions = self.tokenizer.word_spans(caption, self.context_length)
        relevance = word_relevance(self.model, pair, positions)
        check_finite(relevance, "row of word scores")
        side = math.isqrt(relevance.shape[1])
        words = [word.word for word in positions]
        return phrase_maps(caption, words, relevance.cpu().numpy().reshape(-1, side, side))

    def _words(self, pair: ExplainedPairs, caption: str) -> CaptionWords:
        found = None
        if self._why_no_captions() is None:
            found = token_log_likelihoods(self.model, self.model.memory(pair.images), pair.texts)[0].tolist()
        return caption_words(caption, self.tokenizer, self.context_length, found)

    def _generated(self, encoded: EncodedImages) -> GeneratedExplanation | None:
        """Return the caption that the model generates, with its attention; None where it generates none."""
        if self._why_no_captions() is not None:
            return None
        memory = self.model.memory(encoded)
        (found,) = generate_captions(self.model, memory, self.tokenizer.special, GenerationConfig())
        caption = self.tokenizer.decode(found.tokens)
        texts = self._tokens([caption])
        captions = self.model.encode_texts(texts.tokens, texts.is_padding)
        likelihoods = token_log_likelihoods(self.model, memory, texts)[0].tolist()
        read = caption_words(caption, self.tokenizer, self.context_length, likelihoods)
        return GeneratedExplanation(
            caption=caption,
            words=read.words,
            spans=read.spans,
            attention=word_attention(self.model, encoded, captions, read.positions),
            tokens=read.tokens or (),
            word_log_likelihoods=read.log_likelihoods or (),
        )

    def _with_caption(
        self, pixels: Float[Tensor, "1 3 height width"], encoded: EncodedImages, caption: str
    ) -> ExplainedPairs:
        texts = self._tokens([caption])
        captions = self.model.encode_texts(texts.tokens, texts.is_padding)
        return ExplainedPairs(pixels=pixels, texts=texts, images=encoded, captions=captions)

    def _others(self, pair: ExplainedPairs, caption: str, other_captions: Iterable[str]) -> OtherCaptions | None:
        # A caption is no baseline for itself, however it is written: the model reads tokens.
        own = self.tokenizer.encode(caption, self.context_length)
        captions = [
            other
            for other in listed_texts(other_captions, "other_captions")
            if self.tokenizer.encode(other, self.context_length) != own
        ]
        if not captions:
            return None
        texts = self._tokens(captions)
        encoded = self.model.encode_texts(texts.tokens, texts.is_padding)
        scores, word_scores = (
            other_patch_scores(self.model, pair.images, texts, encoded, score)
            for score in (self.config.masking.score, "token_max")
        )
        return OtherCaptions(
            captions=tuple(captions),
            cosines=(encoded.text_embeds @ pair.images.image_embeds[0]).cpu().numpy(),
            patch_scores=np.stack([to_grid(row) for row in scores]),
            word_scores=np.stack([to_grid(row) for row in word_scores]),
        )

    def _why_no_captions(self) -> str | None:
        if not has_part(self.model.config, "text_decoder"):
            return why_missing(self.config, "text_decoder")
        return next(iter(self.cautions("captions")), None)

    def _other_reconstructions(
        self, pair: ExplainedPairs, caption: str, is_masked: Bool[Tensor, "1 patches"], edited_caption: str | None
    ) -> tuple[CaptionedReconstruction, ...]:
        captions = [] if caption.strip() == "" else [""]
        captions += [] if edited_caption is None else [one_text(edited_caption, "edited_caption")]
        pairs = {caption: self._with_caption(pair.pixels, pair.images, caption) for caption in captions}
        return tuple(
            CaptionedReconstruction(caption=caption, reconstruction=self._reconstruct(other, is_masked))
            for caption, other in pairs.items()
        )

    def _absent(self, *, has_phrases: bool) -> dict[str, str]:
        """Return why parts of an explanation are not there, by their names."""
        reasons = {
            "log_likelihood": self._why_no_captions(),
            "generated": self._why_no_captions(),
            "reconstruction": None
            if has_part(self.model.config, "image_decoder")
            else why_missing(self.config, "image_decoder"),
            "noun_phrases": None if has_phrases else "no noun phrase of English was found in the caption",
        }
        return {part: reason for part, reason in reasons.items() if reason is not None}

    def _reconstruct(self, pair: ExplainedPairs, is_masked: Bool[Tensor, "1 patches"]) -> Reconstruction:
        return reconstruct_pair(
            self.model,
            pair,
            is_masked,
            transforms=self.config.transforms,
            normalizes_patches=self.config.normalizes_patches,
        )

    def _scores(self, pairs: ExplainedPairs) -> Float[Tensor, "batch patches"]:
        return pair_patch_scores(self.model, pairs, self.config.masking)

    def _pairs(self, images: Sequence[object], captions: Sequence[str], first: int | None) -> ExplainedPairs:
        return encode_explained_pairs(self.model, self._pixels(images, first), self._tokens(captions))
