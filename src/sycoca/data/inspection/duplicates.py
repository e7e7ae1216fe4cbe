"""Duplicate images: identical, or near duplicates (resized, recompressed and the like)."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Int64, UInt64

from sycoca.data.inspection.image_facts import ImageFacts
from sycoca.facts.photo_facts import NEAR_BITS, NEAR_COLORS

MatchKind = Literal["exact", "near"]
"""exact: equal pixels. near: perceptual hashes that differ in few bits, and similar colors."""

_HASH_BITS = 64
_COMPARED_AT_A_TIME = 2**15


@dataclass(frozen=True, kw_only=True, slots=True)
class DuplicateGroup:
    """Indices of images that show the same picture."""

    match_kind: MatchKind
    """exact where all have the same pixels, else near."""

    places: tuple[int, ...]
    """Two or more, in order."""


def find_duplicates(
    facts: Sequence[ImageFacts | None], most_bits: int = NEAR_BITS, most_color_distance: float = NEAR_COLORS
) -> list[DuplicateGroup]:
    """Return the groups of duplicates, in the order of their first members; None stands for an unreadable image.

    The perceptual hashes of near duplicates differ in at most ``most_bits`` of 64 bits, and the colors of their 4 x 4
    cells by at most ``most_color_distance`` of 255 levels on average.

    An image is in one group at most. Groups are connected components of near duplicates, so the ends of a long chain
    may differ more.
    """
    by_pixels: dict[bytes, list[int]] = defaultdict(list)
    for place, fact in enumerate(facts):
        if fact is not None:
            by_pixels[fact.pixel_hash].append(place)
    pictures = list(by_pixels.values())
    firsts = [fact for places in pictures if (fact := facts[places[0]]) is not None]
    groups: dict[int, list[int]] = defaultdict(list)
    for picture, root in enumerate(_near_groups(firsts, most_bits, most_color_distance)):
        groups[int(root)].append(picture)
    found = [
        DuplicateGroup(
            match_kind="exact" if len(members) == 1 else "near",
            places=tuple(sorted(place for member in members for place in pictures[member])),
        )
        for members in groups.values()
    ]
    return sorted((group for group in found if len(group.places) > 1), key=lambda group: group.places)


def _near_groups(
    facts: Sequence[ImageFacts], most_bits: int, most_color_distance: float
) -> Int64[np.ndarray, "images"]:
    """Return for each picture the smallest index of its connected component."""
    if not facts:
        return np.zeros(0, dtype=np.int64)
    looks, kinds = _different_looks(facts)
    hashes = np.array([fact.perceptual_hash for fact in looks], dtype=np.uint64)
    colors = np.array([list(fact.colors) for fact in looks], dtype=np.int16)
    roots = np.arange(len(looks))
    for first, second in _near_pairs(hashes, most_bits):
        # Most pairs of a large group are joined already, which is faster to test than colors.
        apart = _roots(roots, first) != _roots(roots, second)
        first, second = first[apart], second[apart]
        is_near = np.abs(colors[first] - colors[second]).mean(axis=1) <= most_color_distance
        for one, other in zip(first[is_near].tolist(), second[is_near].tolist(), strict=True):
            low, high = sorted((_root(roots, one), _root(roots, other)))
            roots[high] = low
    return _roots(roots, kinds)


def _different_looks(facts: Sequence[ImageFacts]) -> tuple[list[ImageFacts], Int64[np.ndarray, "images"]]:
    """Return one picture of each hash with the same colors, and for every picture which of those it looks like."""
    looks: dict[tuple[int, bytes], int] = {}
    firsts: list[ImageFacts] = []
    kinds = np.zeros(len(facts), dtype=np.int64)
    for picture, fact in enumerate(facts):
        kinds[picture] = looks.setdefault((fact.perceptual_hash, fact.colors), len(looks))
        if len(looks) > len(firsts):
            firsts.append(fact)
    return firsts, kinds


def _near_pairs(
    hashes: UInt64[np.ndarray, "images"], most_bits: int
) -> Iterator[tuple[Int64[np.ndarray, "pairs"], Int64[np.ndarray, "pairs"]]]:
    """Yield the indices of pairs whose hashes differ in few bits; a pair may occur once per band."""
    # With one band more than bits may differ at least one is equal, so only hashes with an equal band are compared.
    shift, num_bands = 0, most_bits + 1
    for band in range(num_bands):
        num_bits = (_HASH_BITS - shift) // (num_bands - band)
        bands = (hashes >> np.uint64(shift)) & np.uint64(2**num_bits - 1)
        shift += num_bits
        order = np.argsort(bands, kind="stable")
        starts = np.flatnonzero(np.diff(bands[order], prepend=bands[order][:1] + np.uint64(1)))
        stops = np.append(starts[1:], len(order))
        for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
            if stop - start > 1:
                yield from _near_pairs_within(hashes, order[start:stop], most_bits)


def _near_pairs_within(
    hashes: UInt64[np.ndarray, "images"], owners: Int64[np.ndarray, "owners"], most_bits: int
) -> Iterator[tuple[Int64[np.ndarray, "pairs"], Int64[np.ndarray, "pairs"]]]:
    rows_at_a_time = max(1, _COMPARED_AT_A_TIME // max(1, len(owners)))
    for start in range(0, len(owners) - 1, rows_at_a_time):
        rows, columns = owners[start : start + rows_at_a_time], owners[start + 1 :]
        row, column = np.nonzero(_num_different_bits(hashes[rows, None], hashes[columns]) <= most_bits)
        later = column >= row
        if later.any():
            yield rows[row[later]], columns[column[later]]


def _num_different_bits(first: UInt64[np.ndarray, "..."], second: UInt64[np.ndarray, "..."]) -> np.ndarray:
    """Return the number of set bits, by adding neighboring bits, then pairs, then fours."""
    bits = first ^ second
    bits -= (bits >> np.uint64(1)) & np.uint64(0x5555555555555555)
    bits = (bits & np.uint64(0x3333333333333333)) + ((bits >> np.uint64(2)) & np.uint64(0x3333333333333333))
    bits = (bits + (bits >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (bits * np.uint64(0x0101010101010101)) >> np.uint64(56)


def _roots(roots: Int64[np.ndarray, "looks"], members: Int64[np.ndarray, "members"]) -> Int64[np.ndarray, "members"]:
    while not np.array_equal(members, above := roots[members]):
        members = above
    return members


def _root(roots: Int64[np.ndarray, "looks"], member: int) -> int:
    root = member
    while roots[root] != root:
        root = int(roots[root])
    while roots[member] != root:
        roots[member], member = root, int(roots[member])
    return root
