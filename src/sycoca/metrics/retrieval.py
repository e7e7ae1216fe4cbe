"""Recall and ranks of image-text retrieval in both directions, with any number of captions per image."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sycoca.precision import at_least_float32, check_finite, precise_product

RECALL_AT = (1, 5, 10)
"""The usual k of recall at k for Flickr30k and COCO (Karpathy splits)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RetrievalRanks:
    """Ranks of the correct candidates, from 1."""

    image_to_text: Int[Tensor, " images"]
    """Per image the rank of its best caption among the captions of all images (its other captions are ignored)."""

    text_to_image: Int[Tensor, " texts"]
    """Per caption the rank of its image among all images."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RetrievalCandidates:
    """The top candidates of every query, best first."""

    texts_of_image: Int[Tensor, "images first_texts"]
    """Per image the top captions, its own ones included."""

    images_of_text: Int[Tensor, "texts first_images"]
    """Per caption the top images."""


def retrieval_ranks(
    image_embeds: Float[Tensor, "images embed"],
    text_embeds: Float[Tensor, "texts embed"],
    image_of_text: Int[Tensor, " texts"],
    *,
    block_size: int = 1024,
) -> RetrievalRanks:
    """Rank every image's captions and every caption's image by the dot product of their embeddings.

    ``image_of_text`` holds the index of each caption's image. **Ties count against the model**: candidates with the
    same score as the correct one are ranked before it, so that constant embeddings have a recall of 0. Equal candidates
    have the same score. Products are at least float32; memory is ``block_size`` x the number of candidates, twice that
    where some are equal. Raises ValueError for embeddings that are not finite (NaN would be ranked first), for images
    without a caption and for captions without an image.
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
    """Return the top ``num_first`` candidates of every image and caption, or all where there are fewer.

    Among equal scores wrong ones come first, as in `retrieval_ranks`; errors and memory are also the same.
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


@dataclass(frozen=True, kw_only=True, slots=True)
class EqualRows:
    """Which rows of a matrix are equal."""

    first: Int[Tensor, " values"]
    """The first row of each value, ascending."""

    value: Int[Tensor, " rows"]
    """The value of each row, an index of ``first``."""


def equal_rows(rows: Float[Tensor, "rows embed"]) -> EqualRows:
    """Find the rows that are equal in all columns."""
    first_of_bytes: dict[bytes, int] = {}
    with_one_zero = (at_least_float32(rows) + 0.0).cpu().numpy()  # -0.0 + 0.0 is 0.0
    firsts = [first_of_bytes.setdefault(row.tobytes(), index) for index, row in enumerate(with_one_zero)]
    first, value = torch.tensor(firsts, device=rows.device).unique(return_inverse=True)
    return EqualRows(first=first, value=value)


def re_ranked(
    ranks: Int[Tensor, " queries"], is_right: Bool[Tensor, "queries first"], scores: Float[Tensor, "queries first"]
) -> Int[Tensor, " queries"]:
    """Return the ranks after re-ranking each query's top candidates by other scores.

    Ties count against the model. A query whose top candidates are all wrong keeps its rank.
    """
    best_right = scores.masked_fill(~is_right, float("-inf")).amax(1, keepdim=True)
    changed = 1 + ((scores >= best_right) & ~is_right).sum(1)
    return torch.where(is_right.any(1), changed, ranks)


def retrieval_metrics(ranks: RetrievalRanks) -> dict[str, float]:
    """Return recall at 1, 5 and 10, mean and median rank of both directions, and the mean recalls.

    ``mean_text_recall`` (mTR) is the mean of the three recalls of image-to-text, ``mean_image_recall`` (mIR) that of
    text-to-image. Recalls are 0 to 1; the median of an even number of ranks is the mean of the middle two.
    """
    metrics: dict[str, float] = {}
    for direction, found in (("image_to_text", ranks.image_to_text), ("text_to_image", ranks.text_to_image)):
        found = found.cpu().double().sort().values
        for k in RECALL_AT:
            metrics[f"{direction}_recall_at_{k}"] = (found <= k).double().mean().item()
        metrics[f"{direction}_mean_rank"] = found.mean().item()
        metrics[f"{direction}_median_rank"] = found[[(len(found) - 1) // 2, len(found) // 2]].mean().item()
    return metrics | mean_recalls(metrics)


def mean_recalls(recalls: Mapping[str, float]) -> dict[str, float]:
    """Return the means of the three recalls of each direction, by their names: mTR and mIR."""
    return {
        summary: sum(recalls[f"{direction}_recall_at_{k}"] for k in RECALL_AT) / len(RECALL_AT)
        for summary, direction in (("mean_text_recall", "image_to_text"), ("mean_image_recall", "text_to_image"))
    }


def per_item(direction: str, ranks: Int[Tensor, " items"]) -> dict[str, list[int]]:
    """Return the values of every item by metric name: its rank, and 1 for a hit and 0 for a miss."""
    hits = {f"{direction}_recall_at_{k}": (ranks <= k).int().tolist() for k in RECALL_AT}
    return {**hits, f"{direction}_mean_rank": ranks.tolist()}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Compared:
    """A block of queries compared with all candidates."""

    of_wrong: Float[Tensor, "queries candidates"]
    """Similarities; minus infinity for the correct candidates."""

    right: Int[Tensor, "queries most_right"]
    """The correct candidates of each query, padded with -1."""

    of_right: Float[Tensor, "queries most_right"]
    """Their similarities; minus infinity for padding."""


def _compared(
    queries: Float[Tensor, "queries embed"],
    candidates: Float[Tensor, "candidates embed"],
    right: Int[Tensor, "queries most_right"],
    block_size: int,
) -> Iterator[_Compared]:
    equal = equal_rows(candidates)
    different = candidates[equal.first]
    for start in range(0, len(queries), block_size):
        # Equal candidates are ties only where they are multiplied once: a product rounds its last columns otherwise.
        similarities = precise_product(queries[start : start + block_size], different.T)
        if len(different) < len(candidates):
            similarities = similarities[:, equal.value]
        own = right[start : start + block_size]
        is_padding = own < 0
        of_right = similarities.gather(1, own.clamp(min=0)).masked_fill(is_padding, float("-inf"))
        rows = (~is_padding).nonzero()[:, 0]
        similarities[rows, own[~is_padding]] = float("-inf")
        yield _Compared(of_wrong=similarities, right=own, of_right=of_right)


def _ranks(block: _Compared) -> Int[Tensor, " queries"]:
    best_right = block.of_right.amax(1, keepdim=True)
    return 1 + (block.of_wrong >= best_right).sum(1)


def _first(block: _Compared, num_first: int) -> Int[Tensor, "queries first"]:
    num_first = min(num_first, block.of_wrong.shape[1])
    wrong = block.of_wrong.topk(num_first, dim=1)
    # Wrong candidates are first, and the stable sort keeps this order among equal scores.
    scores = torch.cat([wrong.values, block.of_right], dim=1)
    candidates = torch.cat([wrong.indices, block.right], dim=1)
    return candidates.gather(1, scores.argsort(dim=1, descending=True, stable=True)[:, :num_first])


def _texts_of_image(image_of_text: Int[Tensor, " texts"], num_images: int) -> Int[Tensor, "images most_texts"]:
    """Return the captions of every image, padded with -1."""
    num_texts = torch.bincount(image_of_text, minlength=num_images)
    by_image = image_of_text.argsort(stable=True)
    firsts = num_texts.cumsum(0) - num_texts
    owners = image_of_text[by_image]
    columns = torch.arange(len(by_image), device=by_image.device) - firsts[owners]
    table = torch.full((num_images, int(num_texts.max())), -1, device=by_image.device)
    table[owners, columns] = by_image
    return table


def _check(image_embeds: Tensor, text_embeds: Tensor, image_of_text: Tensor) -> None:
    for name, embeds in (("image", image_embeds), ("text", text_embeds)):
        check_finite(embeds, f"{name} embedding")
    lowest, highest = int(image_of_text.min()), int(image_of_text.max())
    if lowest < 0 or highest >= len(image_embeds):
        wrong = lowest if lowest < 0 else highest
        raise ValueError(f"a caption belongs to image {wrong}, there are {len(image_embeds)} images")
    num_captions = torch.bincount(image_of_text, minlength=len(image_embeds))
    if not bool((num_captions > 0).all()):
        raise ValueError(f"image {int((num_captions == 0).nonzero()[0])} has no caption; retrieval needs one each")
