"""Recall and ranks of image-text retrieval, any number of captions per image, both directions."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sycoca.precision import precise_product

RECALL_AT = (1, 5, 10)
"""The ranks that the field reports for Flickr30k and COCO (Karpathy splits)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RetrievalRanks:
    """Where the right answer came, 1 being first."""

    image_to_text: Int[Tensor, " images"]
    """Per image the rank of its best caption among the captions of all images (its other captions not counted)."""

    text_to_image: Int[Tensor, " texts"]
    """Per caption the rank of its image among all images."""


def retrieval_ranks(
    image_embeds: Float[Tensor, "images embed"],
    text_embeds: Float[Tensor, "texts embed"],
    image_of_text: Int[Tensor, " texts"],
    *,
    block_size: int = 1024,
) -> RetrievalRanks:
    """Rank every image's captions and every caption's image by the dot product of their embeddings.

    ``image_of_text`` names the row of the image that a caption belongs to. **A tie counts against us**: what
    scores as high as the right answer is ranked before it, so that embeddings that are all the same find
    nothing. Products are at least float32; memory is ``block_size`` x the number of candidates. Raises ValueError
    for embeddings that are not finite (nothing would be ranked before them) and for images without a caption.
    """
    _check(image_embeds, text_embeds, image_of_text)
    image_to_text, text_to_image = [], []
    for start in range(0, len(image_embeds), block_size):
        block = image_embeds[start : start + block_size]
        images = torch.arange(start, start + len(block), device=block.device)
        similarities = precise_product(block, text_embeds.T)
        image_to_text.append(_ranks(similarities, image_of_text == images[:, None]))
    images = torch.arange(len(image_embeds), device=image_embeds.device)
    for start in range(0, len(text_embeds), block_size):
        rows = slice(start, start + block_size)
        similarities = precise_product(text_embeds[rows], image_embeds.T)
        text_to_image.append(_ranks(similarities, image_of_text[rows, None] == images))
    return RetrievalRanks(image_to_text=torch.cat(image_to_text), text_to_image=torch.cat(text_to_image))


def retrieval_metrics(ranks: RetrievalRanks) -> dict[str, float]:
    """Return recall at 1, 5 and 10, mean and median rank of both directions, and the field's two summaries.

    ``mean_text_recall`` (mTR) is the mean of the three recalls of image-to-text, ``mean_image_recall`` (mIR) that of
    text-to-image. Recalls are shares, 0 to 1; a median of an even number of ranks is the mean of the middle two.
    """
    metrics: dict[str, float] = {}
    for direction, found in (("image_to_text", ranks.image_to_text), ("text_to_image", ranks.text_to_image)):
        found = found.cpu().double().sort().values
        for k in RECALL_AT:
            metrics[f"{direction}_recall_at_{k}"] = (found <= k).double().mean().item()
        metrics[f"{direction}_mean_rank"] = found.mean().item()
        metrics[f"{direction}_median_rank"] = found[[(len(found) - 1) // 2, len(found) // 2]].mean().item()
    for summary, direction in (("mean_text_recall", "image_to_text"), ("mean_image_recall", "text_to_image")):
        recalls = [metrics[f"{direction}_recall_at_{k}"] for k in RECALL_AT]
        metrics[summary] = sum(recalls) / len(recalls)
    return metrics


def recall_per_item(direction: str, ranks: Int[Tensor, " items"]) -> dict[str, list[int]]:
    """Return, by metric name, 1 for every item that was found and 0 for every other; their mean is the recall."""
    return {f"{direction}_recall_at_{k}": (ranks <= k).int().tolist() for k in RECALL_AT}


def _ranks(
    similarities: Float[Tensor, "queries candidates"], is_right: Bool[Tensor, "queries candidates"]
) -> Int[Tensor, " queries"]:
    best_right = similarities.masked_fill(~is_right, float("-inf")).amax(1, keepdim=True)
    return 1 + ((similarities >= best_right) & ~is_right).sum(1)


def _check(image_embeds: Tensor, text_embeds: Tensor, image_of_text: Tensor) -> None:
    for name, embeds in (("image", image_embeds), ("text", text_embeds)):
        if not bool(embeds.isfinite().all()):
            raise ValueError(f"{name} embeddings are not finite: the model has diverged, nothing can be ranked")
    num_captions = torch.bincount(image_of_text, minlength=len(image_embeds))
    if len(num_captions) > len(image_embeds):
        raise ValueError(f"a caption belongs to image {len(num_captions) - 1}, there are {len(image_embeds)} images")
    if not bool((num_captions > 0).all()):
        raise ValueError(f"image {int((num_captions == 0).nonzero()[0])} has no caption; retrieval needs one each")
