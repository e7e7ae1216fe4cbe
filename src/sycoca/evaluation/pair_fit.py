"""How well captions fit their images by a model's cosines: pairs that fit least, captions that fit others better."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sycoca.data.content_keys import normalized_caption
from sycoca.evaluation.fit_records import PairFit, SetFit

NUM_PAIRS = 100
"""Pairs of each kind that are kept, the worst first."""

_NUMBERS_AT_A_TIME = 2**24
"""Cosines that are in memory at once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbeddedSet:
    """Embedded images of a set, with their captions."""

    indices: tuple[int, ...]
    """Of the images in their source."""

    captions: tuple[tuple[str, ...], ...]
    """Of each image."""

    pixel_hashes: tuple[bytes, ...]
    """Of each image; images of equal pixels are no other images of each other."""

    image_embeds: Float[Tensor, "images embed"]
    text_embeds: Float[Tensor, "texts embed"]
    """One row per caption, image by image."""

    def owners(self) -> Int[Tensor, " texts"]:
        """Return the row of each caption's image."""
        return torch.arange(len(self.captions)).repeat_interleave(torch.tensor([len(own) for own in self.captions]))


def pair_fit(embedded: EmbeddedSet) -> SetFit | None:
    """Return how captions fit their images; None for a set without captions or of one image."""
    num_images = len(embedded.image_embeds)
    if len(embedded.text_embeds) == 0 or num_images < 2:
        return None
    pairs = [pair for part in _parts(embedded, embedded.owners()) for pair in part]
    num_others = sum(pair.num_others for pair in pairs)
    other_sum = sum(pair.mean_other_cosine * pair.num_others for pair in pairs if pair.mean_other_cosine is not None)
    better = [pair for pair in pairs if pair.rank > 1]
    return SetFit(
        num_images=num_images,
        num_captions=len(pairs),
        mean_cosine=sum(pair.cosine for pair in pairs) / len(pairs),
        mean_other_cosine=other_sum / num_others if num_others else None,
        # Of so many images and the caption's own one, any may come first.
        chance=sum(pair.num_others / (pair.num_others + 1) for pair in pairs) / len(pairs),
        num_fitting_another=len(better),
        least=tuple(sorted(pairs, key=lambda pair: pair.cosine)[:NUM_PAIRS]),
        fitting_another=_with_counts(sorted(better, key=_advantage)[:NUM_PAIRS], better),
    )


def _with_counts(shown: Sequence[PairFit], better: Sequence[PairFit]) -> tuple[PairFit, ...]:
    """Return pairs with the number of captions that fit the same other image better than their own."""
    counts = Counter(pair.other_index for pair in better)
    return tuple(replace(pair, num_fitting_other=counts[pair.other_index]) for pair in shown)


def _advantage(pair: PairFit) -> float:
    return pair.cosine - (pair.cosine if pair.other_cosine is None else pair.other_cosine)


def _parts(embedded: EmbeddedSet, owners: Int[Tensor, " texts"]) -> Iterator[list[PairFit]]:
    """Yield the pairs, as many at a time as fit into memory."""
    captions = [caption for own in embedded.captions for caption in own]
    same = _SameImages(embedded)
    rows = max(1, _NUMBERS_AT_A_TIME // len(embedded.image_embeds))
    for start in range(0, len(captions), rows):
        own, texts = owners[start : start + rows], captions[start : start + rows]
        cosines = embedded.text_embeds[start : start + rows] @ embedded.image_embeds.T
        cosine = cosines.gather(1, own[:, None])
        is_same = same.of(own.tolist(), texts)
        others = (~is_same).sum(1)
        mean = cosines.masked_fill(is_same, 0).sum(1) / others
        cosines.masked_fill_(is_same, -torch.inf)
        best, other = cosines.max(1)
        # Ties count against the caption, as in retrieval: a model that tells nothing apart finds no image.
        columns = cosine[:, 0], 1 + (cosines >= cosine).sum(1), others, mean, other, best
        yield [
            PairFit(
                index=embedded.indices[image],
                caption=caption,
                cosine=own_cosine,
                rank=rank,
                num_others=number,
                mean_other_cosine=mean_cosine if number else None,
                other_index=embedded.indices[best_row] if number else None,
                other_cosine=best_cosine if number else None,
            )
            for image, caption, own_cosine, rank, number, mean_cosine, best_row, best_cosine in zip(
                own.tolist(), texts, *(column.tolist() for column in columns), strict=True
            )
        ]


class _SameImages:
    """Which images are no other ones for a caption: its own, copies of that, and those with an equal caption."""

    def __init__(self, embedded: EmbeddedSet) -> None:
        self._num_images = len(embedded.captions)
        self._hashes = embedded.pixel_hashes
        self._of_pixels: dict[bytes, list[int]] = defaultdict(list)
        self._of_caption: dict[str, set[int]] = defaultdict(set)
        for row, (pixels, own) in enumerate(zip(embedded.pixel_hashes, embedded.captions, strict=True)):
            self._of_pixels[pixels].append(row)
            for caption in own:
                self._of_caption[normalized_caption(caption)].add(row)

    def of(self, owners: Sequence[int], captions: Sequence[str]) -> Bool[Tensor, "texts images"]:
        """Return for each caption which images are no other ones."""
        is_same = torch.zeros(len(owners), self._num_images, dtype=torch.bool)
        for text, (owner, caption) in enumerate(zip(owners, captions, strict=True)):
            rows = {*self._of_pixels[self._hashes[owner]], *self._of_caption[normalized_caption(caption)]}
            is_same[text, list(rows)] = True
        return is_same
