"""Attentive masking: how well patches match the caption, and which are hidden or masked because of it.

Source: SyCoCa, arXiv 2401.02137, attentive masking. Captioning sees the patches that match best; reconstruction
masks the patches that match best, since the caption helps to reconstruct them.
"""

from dataclasses import dataclass
from typing import assert_never

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sycoca.model.draws import uniform_draws
from sycoca.model.masking_config import MaskingConfig
from sycoca.model.patches import PatchSplit
from sycoca.precision import precise_product


@dataclass(frozen=True, kw_only=True, slots=True)
class PatchChoice:
    """The patches that the two objectives hide; the same number in every image."""

    hidden: PatchSplit
    """Chosen are the patches to which the text decoder may not attend."""

    masked: PatchSplit
    """Chosen are the patches that the image decoder has to reconstruct."""


def is_word(is_padding: Bool[Tensor, "batch tokens"], *, has_bos: bool = True) -> Bool[Tensor, "batch tokens"]:
    """Return where a token belongs to the caption's text: neither padding nor bos (first, if any) nor eos (last)."""
    positions = torch.arange(is_padding.shape[1], device=is_padding.device)
    last = (~is_padding).sum(dim=1, keepdim=True) - 1
    return (positions >= int(has_bos)) & (positions < last)


def token_max_scores(
    patch_embeds: Float[Tensor, "batch patches embed"],
    token_embeds: Float[Tensor, "batch tokens embed"],
    counts: Bool[Tensor, "batch tokens"],
) -> Float[Tensor, "batch patches"]:
    """Return every patch's maximum cosine over the tokens that count (the paper's token-wise similarity).

    Embeddings are L2-normalized. Where no token counts, all scores are equal.
    """
    similarities = precise_product(patch_embeds, token_embeds.mT)
    return similarities.masked_fill(~counts.unsqueeze(1), -1.0).amax(dim=2)


def caption_scores(
    patch_embeds: Float[Tensor, "batch patches embed"], text_embeds: Float[Tensor, "batch embed"]
) -> Float[Tensor, "batch patches"]:
    """Return every patch's cosine with the caption's embedding, which ITC trains."""
    return precise_product(patch_embeds, text_embeds.unsqueeze(2)).squeeze(2)


def num_chosen(num_patches: int, ratio: float) -> int:
    """Return the number of patches for a ratio: rounded down, at least 1 and at most all but one."""
    return min(max(int(num_patches * ratio), 1), num_patches - 1)


def lowest(scores: Float[Tensor, "batch patches"], ratio: float) -> PatchSplit:
    """Choose the fraction of patches with the lowest scores; of equal scores the lower index wins."""
    return _first(scores.argsort(dim=1, stable=True), ratio)


def highest(scores: Float[Tensor, "batch patches"], ratio: float) -> PatchSplit:
    """Choose the fraction of patches with the highest scores; of equal scores the lower index wins."""
    return _first(scores.argsort(dim=1, descending=True, stable=True), ratio)


def choose_patches(
    scores: Float[Tensor, "batch patches"], masking: MaskingConfig, draw_keys: Int[Tensor, " batch"]
) -> PatchChoice:
    """Choose the patches to hide from captioning and to mask for reconstruction.

    ``draw_keys`` hold one key per image, on the CPU, which seeds the random strategy: the same keys give the same
    choice, whatever the batch, the device or the rank. The two objectives draw independently.
    """
    match masking.strategy:
        case "attentive":
            for_captioning = for_reconstruction = scores
        case "inverse":
            for_captioning = for_reconstruction = -scores
        case "random":
            for_captioning, for_reconstruction = (
                uniform_draws(draw_keys, purpose, scores.shape[1:], scores.device)
                for purpose in ("hidden from captioning", "masked for reconstruction")
            )
        case unknown:
            assert_never(unknown)
    return PatchChoice(
        hidden=lowest(for_captioning, masking.captioning_hidden_ratio),
        masked=highest(for_reconstruction, masking.reconstruction_masked_ratio),
    )


def _first(ranking: Int[Tensor, "batch patches"], ratio: float) -> PatchSplit:
    num_patches = ranking.shape[1]
    count = num_chosen(num_patches, ratio)
    chosen, others = (part.sort(dim=1).values for part in ranking.split([count, num_patches - count], dim=1))
    return PatchSplit(chosen=chosen, others=others)
