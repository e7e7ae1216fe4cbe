"""Recall and ranks of image-text retrieval, any number of captions per image, both directions."""

from collections.abc import Iterator
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


@dataclass(frozen=True, kw_only=True, slots=True)
class RetrievalCandidates:
    """Rows of what came first, best first; in the order that ranks are counted by."""

    texts_of_image: Int[Tensor, "images first_texts"]
    """Per image the captions that came first, right ones among them."""

    images_of_text: Int[Tensor, "texts first_images"]
    """Per caption the images that came first."""


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
    for embeddings that are not finite (nothing would be ranked before them), for images without a caption and for
    captions of no image.
    """
    _check(image_embeds, text_embeds, image_of_text)
    texts_of_image = _texts_of_image(image_of_text, len(image_embeds))
    return RetrievalRanks(
        image_to_text=torch.cat(
            [_ranks(block) for block in _compared(image_embeds, text_embeds, texts_of_image, block_size)]
        ),
        text_to_image=torch.cat(
            [_ranks(block) for block in _compared(text_embeds, image_embeds, image_of_text[:, None], block_size)]
        ),
    )


def first_candidates(
    image_embeds: Float[Tensor, "images embed"],
    text_embeds: Float[Tensor, "texts embed"],
    image_of_text: Int[Tensor, " texts"],
    num_first: int,
    *,
    block_size: int = 1024,
) -> RetrievalCandidates:
    """Return the first ``num_first`` candidates of every image and caption, all where there are fewer.

    Among equals wrong ones come first, as `retrieval_ranks` counts them; errors and memory are its own, too.
    """
    if num_first < 1:
        raise ValueError(f"there must be at least 1 candidate, got {num_first}")
    _check(image_embeds, text_embeds, image_of_text)
    texts_of_image = _texts_of_image(image_of_text, len(image_embeds))
    return RetrievalCandidates(
        texts_of_image=torch.cat(
            [_first(block, num_first) for block in _compared(image_embeds, text_embeds, texts_of_image, block_size)]
        ),
        images_of_text=torch.cat(
            [
                _first(block, num_first)
                for block in _compared(text_embeds, image_embeds, image_of_text[:, None], block_size)
            ]
        ),
    )


def re_ranked(
    ranks: Int[Tensor, " queries"], is_right: Bool[Tensor, "queries first"], scores: Float[Tensor, "queries first"]
) -> Int[Tensor, " queries"]:
    """Return the ranks after each query's first candidates have been put in the order of other scores.

    A tie counts against us. A query whose first candidates are all wrong keeps its rank.
    """
    best_right = scores.masked_fill(~is_right, float("-inf")).amax(1, keepdim=True)
    changed = 1 + ((scores >= best_right) & ~is_right).sum(1)
    return torch.where(is_right.any(1), changed, ranks)


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


def per_item(direction: str, ranks: Int[Tensor, " items"]) -> dict[str, list[int]]:
    """Return by metric name what every item adds to its mean: the rank, and 1 for a hit and 0 for a miss."""
    hits = {f"{direction}_recall_at_{k}": (ranks <= k).int().tolist() for k in RECALL_AT}
    return {**hits, f"{direction}_mean_rank": ranks.tolist()}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Compared:
    """A block of queries compared with all candidates."""

    of_wrong: Float[Tensor, "queries candidates"]
    """Similarities; minus infinity for the right candidates."""

    right: Int[Tensor, "queries most_right"]
    """The right candidates of each query, filled up with -1."""

    of_right: Float[Tensor, "queries most_right"]
    """Their similarities; minus infinity for filler."""


def _compared(
    queries: Float[Tensor, "queries embed"],
    candidates: Float[Tensor, "candidates embed"],
    right: Int[Tensor, "queries most_right"],
    block_size: int,
) -> Iterator[_Compared]:
    for start in range(0, len(queries), block_size):
        similarities = precise_product(queries[start : start + block_size], candidates.T)
        own = right[start : start + block_size]
        is_filler = own < 0
        of_right = similarities.gather(1, own.clamp(min=0)).masked_fill(is_filler, float("-inf"))
        rows = (~is_filler).nonzero()[:, 0]
        similarities[rows, own[~is_filler]] = float("-inf")
        yield _Compared(of_wrong=similarities, right=own, of_right=of_right)


def _ranks(block: _Compared) -> Int[Tensor, " queries"]:
    best_right = block.of_right.amax(1, keepdim=True)
    return 1 + (block.of_wrong >= best_right).sum(1)


def _first(block: _Compared, num_first: int) -> Int[Tensor, "queries first"]:
    num_first = min(num_first, block.of_wrong.shape[1])
    wrong = block.of_wrong.topk(num_first, dim=1)
    # Wrong ones stand before right ones, and a stable sort keeps it so among equals.
    scores = torch.cat([wrong.values, block.of_right], dim=1)
    candidates = torch.cat([wrong.indices, block.right], dim=1)
    return candidates.gather(1, scores.argsort(dim=1, descending=True, stable=True)[:, :num_first])


def _texts_of_image(image_of_text: Int[Tensor, " texts"], num_images: int) -> Int[Tensor, "images most_texts"]:
    """Return the captions of every image, filled up with -1."""
    num_texts = torch.bincount(image_of_text, minlength=num_images)
    by_image = image_of_text.argsort(stable=True)
    firsts = num_texts.cumsum(0) - num_texts
    owners = image_of_text[by_image]
    places = torch.arange(len(by_image), device=by_image.device) - firsts[owners]
    table = torch.full((num_images, int(num_texts.max())), -1, device=by_image.device)
    table[owners, places] = by_image
    return table


def _check(image_embeds: Tensor, text_embeds: Tensor, image_of_text: Tensor) -> None:
    for name, embeds in (("image", image_embeds), ("text", text_embeds)):
        if not bool(embeds.isfinite().all()):
            raise ValueError(f"{name} embeddings are not finite: the model has diverged, nothing can be ranked")
    lowest, highest = int(image_of_text.min()), int(image_of_text.max())
    if lowest < 0 or highest >= len(image_embeds):
        wrong = lowest if lowest < 0 else highest
        raise ValueError(f"a caption belongs to image {wrong}, there are {len(image_embeds)} images")
    num_captions = torch.bincount(image_of_text, minlength=len(image_embeds))
    if not bool((num_captions > 0).all()):
        raise ValueError(f"image {int((num_captions == 0).nonzero()[0])} has no caption; retrieval needs one each")
