"""Explanations of one image: patch scores, masks and reconstructions."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped, UInt8
from torch import Tensor

from sycoca.model.masking import PatchChoice, choose_patches, token_max_scores
from sycoca.model.masking_config import MaskingConfig
from sycoca.model.patches import gather_patches, patchify, split_by_mask, unpatchify
from sycoca.model.sycoca import SyCoCa
from sycoca.objectives.masked_image import patch_statistics
from sycoca.preprocess.config import ImageTransformConfig
from sycoca.preprocess.image_transforms import to_pictures
from sycoca.preprocess.token_batch import TokenBatch
from sycoca.preprocess.tokenizer import WordSpan
from sycoca.records import EncodedImages, EncodedTexts


@dataclass(frozen=True, kw_only=True, slots=True)
class Reconstruction:
    """An image of which some patches were masked and predicted from the others and the caption."""

    original: UInt8[np.ndarray, "height width 3"]
    """The image as the model sees it, as RGB."""

    masked: UInt8[np.ndarray, "height width 3"]
    """The image with its masked patches in the mean color."""

    reconstructed: UInt8[np.ndarray, "height width 3"]
    """Visible patches as they are, masked ones as predicted."""

    is_masked: Bool[np.ndarray, "rows columns"]
    """True for patches that were predicted."""

    has_true_statistics: bool
    """Whether every predicted patch has the mean and standard deviation of the true one (normalized patches)."""

    def __repr__(self) -> str:
        height, width = self.original.shape[:2]
        masked = f"{int(self.is_masked.sum())} of {self.is_masked.size} patches"
        return f"<Reconstruction of {masked}, {width} x {height} px>"


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """How the patches of an image match a caption, and which of them training would mask."""

    caption: str
    """The caption."""

    words: tuple[str, ...]
    """Its words, as far as they fit into the model's context."""

    original: UInt8[np.ndarray, "height width 3"]
    """The image as the model sees it, as RGB."""

    patch_scores: Float[np.ndarray, "rows columns"]
    """How well each patch matches the caption: the cosine by which masks are chosen in training."""

    relevance: Float[np.ndarray, "words patches"]
    """How well each patch, row by row, matches each word: its largest cosine over the word's tokens."""

    is_hidden_from_captioner: Bool[np.ndarray, "rows columns"]
    """True for patches that are hidden from captioning in training."""

    is_masked: Bool[np.ndarray, "rows columns"]
    """True for patches that are masked and reconstructed in training."""

    reconstruction: Reconstruction | None
    """The image decoder's reconstruction of the masked patches; None for a model without image decoder."""

    def __repr__(self) -> str:
        rows, columns = self.patch_scores.shape
        hidden, masked = int(self.is_hidden_from_captioner.sum()), int(self.is_masked.sum())
        rebuilt = "without reconstruction" if self.reconstruction is None else "reconstructed"
        patches = f"{rows} x {columns} patches, {hidden} hidden from captioning, {masked} masked, {rebuilt}"
        return f"<Explanation of {self.caption!r}: {len(self.words)} words, {patches}>"


@dataclass(frozen=True, kw_only=True, slots=True)
class EncodedPairs:
    """Pairs of image and caption with their encodings."""

    pixels: Float[Tensor, "batch 3 height width"]
    """Normalized images."""

    texts: TokenBatch
    """Captions as tokens."""

    images: EncodedImages
    """The image encoder's output."""

    captions: EncodedTexts
    """The text encoder's output."""


def encode_pairs(model: SyCoCa, pixels: Float[Tensor, "batch 3 height width"], texts: TokenBatch) -> EncodedPairs:
    """Encode images and captions."""
    return EncodedPairs(
        pixels=pixels,
        texts=texts,
        images=model.encode_images(pixels),
        captions=model.encode_texts(texts.tokens, texts.is_padding),
    )


def pair_patch_scores(model: SyCoCa, pairs: EncodedPairs, masking: MaskingConfig) -> Float[Tensor, "batch patches"]:
    """Return how well every patch matches its caption, by the score that chooses masks in training."""
    return model.patch_scores(pairs.images, pairs.captions, pairs.texts.is_padding, masking.score)


def training_choice(scores: Float[Tensor, "batch patches"], masking: MaskingConfig) -> PatchChoice:
    """Return the patches that training would hide from captioning and reconstruct, given their scores.

    None are hidden where the config switches that off; random masks are those of draw key 0.
    """
    choice = choose_patches(scores, masking, torch.zeros(len(scores), dtype=torch.int64))
    if masking.hides_from_captioning:
        return choice
    return replace(choice, hidden=split_by_mask(torch.zeros_like(choice.hidden.is_chosen)))


def word_relevance(model: SyCoCa, pair: EncodedPairs, words: Sequence[WordSpan]) -> Float[Tensor, "words patches"]:
    """Return how well each patch of one image matches each word of its caption: the largest cosine over its tokens."""
    positions = torch.arange(pair.texts.tokens.shape[1], device=pair.pixels.device)
    edges = torch.tensor([(word.start, word.stop) for word in words], device=positions.device)
    starts, stops = edges.reshape(-1, 2, 1).unbind(1)
    patch_embeds = model.patch_embeds(pair.images.patch_tokens).expand(len(words), -1, -1)
    token_embeds = model.token_embeds(pair.captions.token_states).expand(len(words), -1, -1)
    return token_max_scores(patch_embeds, token_embeds, (positions >= starts) & (positions < stops))


def reconstruct_pair(
    model: SyCoCa,
    pair: EncodedPairs,
    is_masked: Bool[Tensor, "1 patches"],
    *,
    transforms: ImageTransformConfig,
    normalizes_patches: bool,
) -> Reconstruction:
    """Predict the masked patches of one image and return the image with them.

    A model trained on normalized patches does not predict brightness and contrast: with ``normalizes_patches`` each
    predicted patch gets the mean and standard deviation of the true one, as in the figures of MAE (arXiv 2111.06377).
    Raises ValueError for a model without image decoder.
    """
    split = split_by_mask(is_masked)
    predicted = model.reconstruct(pair.pixels, split, pair.captions.token_states, pair.texts.is_padding).float()
    patch_size = model.config.image_encoder.patch_size
    patches = patchify(pair.pixels.float(), patch_size)
    if normalizes_patches:
        mean, deviation = patch_statistics(gather_patches(patches, split.chosen))
        predicted = predicted * deviation + mean
    indices = split.chosen[:, :, None].expand_as(predicted)
    # Zero is the mean color, since pixels are normalized.
    versions = torch.cat([patches, patches.scatter(1, indices, 0.0), patches.scatter(1, indices, predicted)])
    original, left, reconstructed = to_pictures(unpatchify(versions, patch_size), transforms)
    return Reconstruction(
        original=original,
        masked=left,
        reconstructed=reconstructed,
        is_masked=to_grid(is_masked[0]),
        has_true_statistics=normalizes_patches,
    )


def checked_mask(is_masked: Bool[np.ndarray, "..."], num_patches: int) -> Bool[Tensor, "1 patches"]:
    """Return a user's mask as a row. Raises ValueError unless it has the patches' grid and masks some but not all."""
    side = math.isqrt(num_patches)
    mask = np.asarray(is_masked)
    if mask.shape != (side, side) or mask.dtype != bool:
        raise ValueError(f"is_masked must be {side} x {side} booleans, got {mask.shape} of {mask.dtype}")
    if mask.all() or not mask.any():
        raise ValueError("is_masked must mask at least one patch and leave at least one")
    return torch.from_numpy(mask.reshape(1, -1))


def to_grid(patches: Shaped[Tensor, " patches"]) -> Shaped[np.ndarray, "rows columns"]:
    """Return one value per patch as the grid of patches of the (square) image."""
    side = math.isqrt(len(patches))
    return patches.reshape(side, side).cpu().numpy()
