"""Few-shot training sets: the same number of samples of every class."""

from collections import defaultdict
from collections.abc import Sequence
from typing import final

from sycoca.data.samples import ImageTextSample, SampleSource, skipped_samples, with_remarks
from sycoca.randomness import derive_key
from sycoca.texts import normal_form
from sycoca.unusable import SkippedSample


@final
class FewSamples:
    """A subset of a source, in its order."""

    def __init__(self, source: SampleSource, indices: Sequence[int], name: str) -> None:
        self.name = name
        self._source = source
        self._indices = indices

    @property
    def skipped(self) -> Sequence[SkippedSample]:
        """Samples that the source has left out."""
        return skipped_samples(self._source)

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> ImageTextSample:
        return self._source[self._indices[index]]


def few_per_class(source: SampleSource, samples_per_class: int, seed: int) -> FewSamples:
    """Return a random subset with so many samples of every class; it depends on the seed alone.

    A larger subset contains the smaller ones. Raises ValueError for a sample without label and a class with fewer
    samples.
    """
    if samples_per_class < 1:
        raise ValueError(f"samples_per_class must be at least 1, got {samples_per_class}; leave it out for all samples")
    members = indices_by_class(source)
    for label, indices in members.items():
        if len(indices) < samples_per_class:
            raise ValueError(
                f"{source.name} has {len(indices)} samples of the class {label!r}, fewer than samples_per_class"
                f" {samples_per_class}"
            )
    chosen = [index for indices in members.values() for index in shuffled(indices, seed, "few")[:samples_per_class]]
    return FewSamples(source, sorted(chosen), f"{source.name} ({samples_per_class} per class)")


def split_by_class(source: SampleSource, second_ratio: float, seed: int) -> tuple[list[int], list[int]]:
    """Split the samples' indices in two; the second part has the fraction ``second_ratio`` of every class, rounded.

    A class of at least two samples has one in each part. Raises ValueError for a sample without label.
    """
    first, second = [], []
    for indices in indices_by_class(source).values():
        num_second = min(max(round(second_ratio * len(indices)), 1), len(indices) - 1)
        drawn = shuffled(indices, seed, "second part")
        second += drawn[:num_second]
        first += drawn[num_second:]
    return sorted(first), sorted(second)


def indices_by_class(source: SampleSource) -> dict[str, list[int]]:
    """Return every class's samples, classes in alphabetical order. Raises ValueError for a sample without label."""
    members: defaultdict[str, list[int]] = defaultdict(list)
    for index in range(len(source)):
        sample = source[index]
        if sample.label is None:
            fault = f"{source.name}: {sample.key} has no label; name the column, as in ?label=class"
            raise ValueError(with_remarks(fault, source))
        members[normal_form(sample.label)].append(index)
    return dict(sorted(members.items()))


def shuffled(indices: Sequence[int], seed: int, purpose: str) -> list[int]:
    """Return the indices in a pseudo-random order that depends on the seed and each index alone."""
    return sorted(indices, key=lambda index: derive_key(seed, purpose, index))
