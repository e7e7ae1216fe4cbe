"""The part of a source that the options ``limit`` and ``seed`` ask for."""

from collections.abc import Sequence
from typing import TypeVar

from sycoca.randomness import derive_key

Item = TypeVar("Item")


def select(items: Sequence[Item], limit: int | None, seed: int | None) -> list[Item]:
    """Return at most ``limit`` items in their order: the first ones, or with a seed a random choice."""
    if limit is None or limit >= len(items):
        return list(items)
    if seed is None:
        return list(items[:limit])
    ranking = sorted(range(len(items)), key=lambda index: derive_key(seed, "limit", index))
    return [items[index] for index in sorted(ranking[:limit])]
