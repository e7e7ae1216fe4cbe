"""Sources mixed by weight, from a YAML file that lists them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import accumulate
from math import ceil, gcd, isfinite, lcm
from pathlib import Path
from typing import final

from sycoca.data.samples import (
    ImageTextSample,
    MixturePart,
    SampleSource,
    remarks_on,
    skipped_samples,
    source_repr,
)
from sycoca.plain_data import from_plain, read_yaml
from sycoca.unusable import SkippedSample

_LEAST_CYCLE = 256
_LONGEST_CYCLE = 10_000
"""Samples among which each source has its exact number, if the weights allow; a source may not be rarer than one in so
many."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MixtureEntry:
    """A source of a mixture, as the file lists it."""

    data: str
    """The source as a SPEC."""

    weight: float
    """How many samples are drawn from it, relative to the other sources."""

    generated_caption_ratio: float | None = None
    """Fraction of its samples that take a generated caption; None leaves it to ``data.generated_caption_ratio``."""

    def __post_init__(self) -> None:
        if self.generated_caption_ratio is not None and not 0 <= self.generated_caption_ratio <= 1:
            raise ValueError(f"generated_caption_ratio must be 0 to 1, got {self.generated_caption_ratio:g}")
        if not (isfinite(self.weight) and self.weight > 0):
            raise ValueError(f"weight must be a number above 0, got {self.weight:g}; leave out what is not wanted")


@dataclass(frozen=True, kw_only=True, slots=True)
class MixtureFile:
    """The content of a mixture's file."""

    sources: tuple[MixtureEntry, ...]
    """The sources."""

    def __post_init__(self) -> None:
        if not self.sources:
            raise ValueError("sources is empty; list at least one, with data and weight")


@final
class MixtureSource:
    """Several sources one after another; training draws from them by weight, see `MixtureOrder`."""

    def __init__(self, name: str, parts: Sequence[MixturePart]) -> None:
        self.name = name
        self.parts = parts
        self._names = _distinct([part.source.name for part in parts])
        self._ends = list(accumulate(len(part.source) for part in parts))

    def __repr__(self) -> str:
        return source_repr(self)

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> ImageTextSample:
        if not 0 <= index < len(self):
            raise IndexError(f"{self.name} has {len(self):,} samples, no number {index}")
        number = next(number for number, end in enumerate(self._ends) if index < end)
        source = self.parts[number].source
        sample = source[index - self._ends[number] + len(source)]
        return replace(sample, key=f"{self._names[number]}: {sample.key}")

    @property
    def skipped(self) -> Sequence[SkippedSample]:
        """Samples that the sources have left out."""
        return [
            replace(skipped, name=f"{name}: {skipped.name}")
            for name, part in zip(self._names, self.parts, strict=True)
            for skipped in skipped_samples(part.source)
        ]

    @property
    def remarks(self) -> Sequence[str]:
        """Remarks of the sources."""
        return [remark for part in self.parts for remark in remarks_on(part.source)]


def read_mixture(path: Path) -> MixtureFile:
    """Return the content of a file that lists sources."""
    return from_plain(MixtureFile, read_yaml(path), where=str(path))


def open_mixture(path: Path, open_source: Callable[[str], SampleSource]) -> MixtureSource:
    """Open the sources that a YAML file lists, each with ``data`` (a SPEC), ``weight`` and options.

    Raises ValueError, which names the file and the entry, where one is wrong, empty, or too rare.
    """
    entries = read_mixture(path).sources
    numbers = _numbers_per_cycle([entry.weight for entry in entries])
    parts: list[MixturePart] = []
    for position, (entry, number) in enumerate(zip(entries, numbers, strict=True)):
        where = f"{path}.sources[{position}]"
        if number == 0:
            raise ValueError(f"{where}: weight {entry.weight:g} is less than one sample in {_LONGEST_CYCLE:,}")
        source = _opened(entry.data, where, open_source)
        ratio = entry.generated_caption_ratio
        parts.append(MixturePart(source=source, num_per_cycle=number, generated_caption_ratio=ratio))
    return MixtureSource(path.name, parts)


def _opened(spec: str, where: str, open_source: Callable[[str], SampleSource]) -> SampleSource:
    if spec.startswith("mixture:"):
        raise ValueError(f"{where}: a mixture cannot hold another one; list its sources here")
    try:
        source = open_source(spec)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    if len(source) == 0:
        raise ValueError(f"{where}: {source.name} has no samples")
    return source


def _numbers_per_cycle(weights: Sequence[float]) -> list[int]:
    """Return how many samples of a cycle each source has: exactly by weight where a cycle can hold that."""
    exact = [Fraction(str(weight)) for weight in weights]
    whole = [int(weight * lcm(*(weight.denominator for weight in exact))) for weight in exact]
    smallest = [number // gcd(*whole) for number in whole]
    if sum(smallest) <= _LONGEST_CYCLE:
        return [number * ceil(_LEAST_CYCLE / sum(smallest)) for number in smallest]
    return _by_largest_remainder(exact)


def _by_largest_remainder(weights: Sequence[Fraction]) -> list[int]:
    shares = [weight * _LONGEST_CYCLE / sum(weights) for weight in weights]
    numbers = [int(share) for share in shares]
    by_remainder = sorted(range(len(shares)), key=lambda number: numbers[number] - shares[number])
    for number in by_remainder[: _LONGEST_CYCLE - sum(numbers)]:
        numbers[number] += 1
    return numbers


def _distinct(names: Sequence[str]) -> list[str]:
    """Return the names, those that occur again with their number in the mixture."""

    def distinct() -> Iterator[str]:
        for number, name in enumerate(names):
            yield name if names.index(name) == number else f"{name} ({number + 1})"

    return list(distinct())
