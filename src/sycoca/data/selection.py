"""The subset of a source given by the options ``split``, ``limit`` and ``seed``."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from sycoca.randomness import derive_key

Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """A subset of a source."""

    split: str | None = None
    """Name of the split; None for all."""

    limit: int | None = None
    """Largest number of samples."""

    seed: int | None = None
    """Seed of a random choice of ``limit`` samples; None takes the first ones."""


EVERYTHING = Selection()
"""The whole source."""


def select(items: Sequence[Item], limit: int | None, seed: int | None) -> list[Item]:
    """Return at most ``limit`` items in order: the first ones, or with a seed a random subset."""
    if limit is None or limit >= len(items):
        return list(items)
    if seed is None:
        return list(items[:limit])
    ranking = sorted(range(len(items)), key=lambda index: derive_key(seed, "limit", index))
    return [items[index] for index in sorted(ranking[:limit])]


def evenly_spread(num_samples: int, most: int) -> list[int]:
    """Return up to ``most`` indices of samples, spread evenly."""
    number = min(most, num_samples)
    return [place * num_samples // number for place in range(number)]
