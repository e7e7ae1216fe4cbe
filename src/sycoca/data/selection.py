"""The subset of a source given by the options ``split``, ``limit`` and ``seed``."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar, final

from sycoca.data.samples import ImageTextSample, SampleSource
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


@final
@dataclass(frozen=True, slots=True)
class SpreadSamples:
    """Some samples of a source, spread evenly over it."""

    whole: SampleSource
    """The source."""

    indices: list[int]
    """Indices of its samples."""

    @property
    def name(self) -> str:
        """Name of the source."""
        return self.whole.name

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> ImageTextSample:
        return self.whole[self.indices[index]]


def spread_samples(source: SampleSource, most: int) -> SampleSource:
    """Return a source, or at most so many of its samples, spread evenly over it."""
    return source if len(source) <= most else SpreadSamples(source, evenly_spread(len(source), most))


LARGE_SOURCE = 200_000
"""Samples of a source above which no pass is made over it before the first step, and no image is kept in memory."""


def is_large(source: SampleSource) -> bool:
    """Return whether a source is too large to be read as a whole before the first step, or to be kept in memory."""
    return len(source) > LARGE_SOURCE


TOKENIZER_SAMPLES = 50_000
"""Samples of a large source whose texts a tokenizer is trained on, which takes seconds."""


def spread_if_large(source: SampleSource, most: int) -> SampleSource:
    """Return a source whose texts can all be read in seconds; of a large one so many samples, spread evenly over it."""
    return spread_samples(source, most) if is_large(source) else source
