"""What ITC compares, and how: embeddings of images and of their captions, and the form of the loss."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sycoca.objectives.config import ContrastiveLoss


@dataclass(frozen=True, kw_only=True, slots=True)
class ContrastForm:
    """The form of the contrastive loss; the default is InfoNCE."""

    kind: ContrastiveLoss = "softmax"
    """``objectives.contrastive_loss``."""

    logit_bias: Float[Tensor, " 1"] | None = None
    """Added to the logits of the sigmoid loss, which needs it; None in the other forms."""


INFONCE = ContrastForm()
"""The paper's form."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptionTable:
    """Embeddings of several captions of every image of a batch.

    All images have as many rows, so that processes exchange equal numbers; those that an image lacks count nothing.
    """

    embeds: Float[Tensor, "batch captions embed"]
    """L2-normalized; rows that are no captions may have any finite values."""

    is_caption: Bool[Tensor, "batch captions"]
    """False for rows that an image lacks; the first of every image is a caption."""


TextEmbeds = Float[Tensor, "batch embed"] | CaptionTable
"""One caption of every image, or several."""


def embeds_of(texts: TextEmbeds) -> Float[Tensor, "batch *captions embed"]:
    """Return the embeddings alone."""
    return texts.embeds if isinstance(texts, CaptionTable) else texts


def is_caption_of(texts: TextEmbeds) -> Bool[Tensor, "batch captions"] | None:
    """Return which rows are captions; None where every image has one."""
    return texts.is_caption if isinstance(texts, CaptionTable) else None


def with_embeds(
    embeds: Float[Tensor, "batch *captions embed"], is_caption: Bool[Tensor, "batch captions"] | None
) -> TextEmbeds:
    """Return what `embeds_of` and `is_caption_of` take apart."""
    return embeds if is_caption is None else CaptionTable(embeds=embeds, is_caption=is_caption)


def as_table(
    embeds: Float[Tensor, "batch *captions embed"], is_caption: Bool[Tensor, "batch captions"] | None
) -> CaptionTable:
    """Return the same as a table, of one column where every image has one caption."""
    if is_caption is not None:
        return CaptionTable(embeds=embeds, is_caption=is_caption)
    every_image = torch.ones(len(embeds), 1, dtype=torch.bool, device=embeds.device)
    return CaptionTable(embeds=embeds.unsqueeze(1), is_caption=every_image)


class ComparedRows(NamedTuple):
    """Rows of the logits: some of this rank's pairs."""

    image_embeds: Float[Tensor, "rows embed"]
    text_embeds: Float[Tensor, "rows *captions embed"]
    partners: Int[Tensor, " rows"]
    """The pair's own column."""

    sample_keys: Int[Tensor, "rows keys"] | None
    """Of the image and of its captions; rows that it lacks repeat the first caption's."""

    is_caption: Bool[Tensor, "rows captions"] | None

    def blocks(self, size: int) -> list["ComparedRows"]:
        """Return the rows in order, in blocks of at most ``size``."""
        num_blocks = -(-len(self.partners) // size)
        parts = [[None] * num_blocks if own is None else own.split(size) for own in self]
        return [ComparedRows(*block) for block in zip(*parts, strict=True)]


def copies_of_pairs(
    own: Int[Tensor, "batch 2"], all_keys: Int[Tensor, "global_batch 2"], partners: Int[Tensor, " batch"]
) -> Bool[Tensor, "batch global_batch"]:
    """Return where another pair of the global batch has the same image or the same caption, and so is no negative."""
    is_copy = (own[:, None] == all_keys).any(dim=2)
    return is_copy.scatter(1, partners[:, None], False)


def caption_weights(
    is_caption: Bool[Tensor, "images captions"], dtype: torch.dtype
) -> Float[Tensor, "images captions"]:
    """Return the weight of every caption: those of an image sum to 1, so that all images weigh the same."""
    is_real = is_caption.to(dtype)
    return is_real / is_real.sum(dim=1, keepdim=True)
