"""Computing explanations: patch scores, masks and reconstructions of encoded pairs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from sycoca.inference.explaining.explanation import NounPhrase, Reconstruction
from sycoca.inference.explaining.noun_phrases import content_words, noun_phrases
from sycoca.inference.explaining.text_spans import TextSpan, locate_words
from sycoca.model.forms import PatchScore
from sycoca.model.masking import PatchChoice, caption_scores, choose_patches, token_max_scores
from sycoca.model.masking_config import MaskingConfig
from sycoca.model.patches import PatchSplit, gather_patches, patchify, split_by_mask, unpatchify
from sycoca.model.sycoca import SyCoCa
from sycoca.objectives.masked_image import normalize_patches, patch_statistics
from sycoca.precision import at_least_float32
from sycoca.preprocess.config import ImageTransformConfig
from sycoca.preprocess.image_transforms import to_pictures
from sycoca.preprocess.token_batch import TokenBatch
from sycoca.preprocess.tokenizer import WordSpan
from sycoca.records import EncodedImages, EncodedTexts


@dataclass(frozen=True, kw_only=True, slots=True)
class ExplainedPairs:
    """Pairs of image and caption with their encodings."""

    pixels: Float[Tensor, "batch 3 height width"]
    """Normalized images."""

    texts: TokenBatch
    """Captions as tokens."""

    images: EncodedImages
    """The image encoder's output."""

    captions: EncodedTexts
    """The text encoder's output."""


def encode_explained_pairs(
    model: SyCoCa, pixels: Float[Tensor, "batch 3 height width"], texts: TokenBatch
) -> ExplainedPairs:
    """Encode images and captions."""
    return ExplainedPairs(
        pixels=pixels,
        texts=texts,
        images=model.encode_images(pixels),
        captions=model.encode_texts(texts.tokens, texts.is_padding),
    )


def one_pair(pairs: ExplainedPairs, row: int) -> ExplainedPairs:
    """Return one pair of a batch as a batch of its own."""
    rows = slice(row, row + 1)
    images, captions = pairs.images, pairs.captions
    return ExplainedPairs(
        pixels=pairs.pixels[rows],
        texts=TokenBatch(tokens=pairs.texts.tokens[rows], is_padding=pairs.texts.is_padding[rows]),
        images=EncodedImages(
            patch_tokens=images.patch_tokens[rows],
            cls_tokens=images.cls_tokens[rows],
            image_embeds=images.image_embeds[rows],
        ),
        captions=EncodedTexts(token_states=captions.token_states[rows], text_embeds=captions.text_embeds[rows]),
    )


def pair_patch_scores(model: SyCoCa, pairs: ExplainedPairs, masking: MaskingConfig) -> Float[Tensor, "batch patches"]:
    """Return how well every patch matches its caption, by the score that chooses masks in training."""
    return model.patch_scores(pairs.images, pairs.captions, pairs.texts.is_padding, masking.score)


def other_patch_scores(
    model: SyCoCa, image: EncodedImages, texts: TokenBatch, captions: EncodedTexts, score: PatchScore
) -> Float[Tensor, "captions patches"]:
    """Return how well every patch of one image matches each of several captions, by the same score."""
    number = len(texts.tokens)
    repeated = EncodedImages(
        patch_tokens=image.patch_tokens.expand(number, -1, -1),
        cls_tokens=image.cls_tokens.expand(number, -1, -1),
        image_embeds=image.image_embeds.expand(number, -1),
    )
    return model.patch_scores(repeated, captions, texts.is_padding, score)


def own_patch_scores(model: SyCoCa, images: EncodedImages) -> Float[Tensor, "batch patches"]:
    """Return the cosine of every patch and its own image's embedding, which no caption enters."""
    return caption_scores(model.patch_embeds(images.patch_tokens), images.image_embeds)


def training_choice(scores: Float[Tensor, "batch patches"], masking: MaskingConfig) -> PatchChoice:
    """Return the patches that training would hide from captioning and reconstruct, given their scores.

    None are hidden where the config switches that off; random masks are those of draw key 0.
    """
    choice = choose_patches(scores, masking, torch.zeros(len(scores), dtype=torch.int64))
    if masking.hides_from_captioning:
        return choice
    return replace(choice, hidden=split_by_mask(torch.zeros_like(choice.hidden.is_chosen)))


def word_relevance(model: SyCoCa, pair: ExplainedPairs, words: Sequence[WordSpan]) -> Float[Tensor, "words patches"]:
    """Return how well each patch of one image matches each word of its caption: the largest cosine over its tokens."""
    positions = torch.arange(pair.texts.tokens.shape[1], device=pair.pixels.device)
    edges = torch.tensor([(word.start, word.stop) for word in words], device=positions.device)
    starts, stops = edges.reshape(-1, 2, 1).unbind(1)
    patch_embeds = model.patch_embeds(pair.images.patch_tokens).expand(len(words), -1, -1)
    token_embeds = model.token_embeds(pair.captions.token_states).expand(len(words), -1, -1)
    return token_max_scores(patch_embeds, token_embeds, (positions >= starts) & (positions < stops))


def word_attention(
    model: SyCoCa, image: EncodedImages, caption: EncodedTexts, words: Sequence[WordSpan]
) -> Float[np.ndarray, "words rows columns"]:
    """Return how much the text decoder attends to every patch where it predicts each word of one caption.

    A token is predicted at the position before it. The mean over a word's tokens, heads and layers.
    """
    attention = model.caption_attention(image, caption.token_states).mean(0)[0]
    maps = [attention[word.start - 1 : word.stop - 1].mean(0) for word in words]
    side = math.isqrt(attention.shape[1])
    return np.stack([to_grid(one) for one in maps]) if maps else np.zeros((0, side, side))


def phrase_maps(
    caption: str, words: Sequence[str], scores: Float[np.ndarray, "words rows columns"]
) -> tuple[NounPhrase, ...]:
    """Return the noun phrases of a caption with their scores: each patch's largest over the words of the phrase."""
    spans = locate_words(caption, words)
    return tuple(
        NounPhrase(
            text=" ".join(words[phrase]),
            span=TextSpan(start=spans[phrase.start].start, end=spans[phrase.stop - 1].end),
            scores=scores[content_words(words, phrase)].max(0),
        )
        for phrase in noun_phrases(words)
    )


def reconstruct_pair(
    model: SyCoCa,
    pair: ExplainedPairs,
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


def reconstruction_errors(
    model: SyCoCa,
    pixels: Float[Tensor, "batch 3 height width"],
    texts: TokenBatch,
    masked: PatchSplit,
    *,
    normalizes_patches: bool,
) -> Float[Tensor, "batch masked"]:
    """Return the mean squared error of the pixels of each masked patch, as TG-MIM trains on it, at least float32.

    Targets are normalized per patch where the model was trained on such.
    """
    token_states = model.encode_texts(texts.tokens, texts.is_padding).token_states
    predicted = model.reconstruct(pixels, masked, token_states, texts.is_padding)
    target = gather_patches(patchify(pixels, model.config.image_encoder.patch_size), masked.chosen)
    if normalizes_patches:
        target = normalize_patches(target)
    return (at_least_float32(predicted) - target).square().mean(dim=2)


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
