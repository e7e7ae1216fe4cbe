"""CLIPScore and RefCLIPScore of captions (Hessel et al., EMNLP 2021, arXiv 2104.08718, section 3)."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

CLIP_SCORE_SCALE = 2.5
"""The paper's w, by which cosines of CLIP ViT-B/32 fill the range from 0 to 1."""


def clip_scores(
    image_embeds: Float[Tensor, "captions embed"], caption_embeds: Float[Tensor, "captions embed"]
) -> Float[Tensor, " captions"]:
    """Return 2.5 max(cos(image, caption), 0) of each caption and its image, given L2-normalized embeddings."""
    return CLIP_SCORE_SCALE * (image_embeds * caption_embeds).sum(1).clamp(min=0)


def reference_similarities(
    caption_embeds: Float[Tensor, "captions embed"], reference_embeds: Sequence[Float[Tensor, "_ embed"]]
) -> Float[Tensor, " captions"]:
    """Return the cosine of each caption and the closest of its own references, at least 0; no image is needed.

    Raises ValueError for a caption without references.
    """
    for number, own in enumerate(reference_embeds):
        if len(own) == 0:
            raise ValueError(f"caption {number + 1} has no references to compare with")
    closest = [(own @ caption).max() for caption, own in zip(caption_embeds, reference_embeds, strict=True)]
    return torch.stack(closest).clamp(min=0)


def ref_clip_scores(
    scores: Float[Tensor, " captions"], similarities: Float[Tensor, " captions"]
) -> Float[Tensor, " captions"]:
    """Return the harmonic mean of CLIPScore and of `reference_similarities`; 0 where one of them is 0."""
    total = scores + similarities
    return torch.where(total > 0, 2 * scores * similarities / total, torch.zeros_like(total))
