"""Which kind of caption training draws: original ones, or those that a model has generated."""

from bisect import bisect_right
from itertools import accumulate
from typing import final

from sycoca.data.samples import MixedSource, SampleSource
from sycoca.data.selection import spread_samples

_MOST_SEARCHED_SAMPLES = 10_000
"""Samples that are searched for generated captions before training."""


@final
class GeneratedRatios:
    """The fraction of draws that take a generated caption, by the sample's index."""

    def __init__(self, source: SampleSource, ratio: float | None) -> None:
        """Take the ratio of a training, which the parts of a mixture may replace by their own."""
        parts = source.parts if isinstance(source, MixedSource) else ()
        self._sources = [part.source for part in parts] or [source]
        self._ends = list(accumulate(map(len, self._sources)))
        own = [part.generated_caption_ratio for part in parts] or [None]
        self._ratios = [ratio if one is None else one for one in own]

    def __getitem__(self, index: int) -> float | None:
        return self._ratios[bisect_right(self._ends, index)]

    @property
    def uses_generated(self) -> bool:
        """Whether a sample may take a generated caption."""
        return any(ratio is not None for ratio in self._ratios)

    def check(self) -> None:
        """Raise ValueError where generated captions are to be drawn, and no sample has one."""
        drawn = [source for source, ratio in zip(self._sources, self._ratios, strict=True) if ratio]
        if drawn and not any(map(_has_generated, drawn)):
            names = ", ".join(source.name for source in drawn)
            is_sampled = any(len(source) > _MOST_SEARCHED_SAMPLES for source in drawn)
            sampled = f" (searched: {_MOST_SEARCHED_SAMPLES:,} samples, evenly spread)" if is_sampled else ""
            raise ValueError(
                f"no generated captions in {names}{sampled}, and generated_caption_ratio draws them; name their"
                " column, as in ?generated=blip, or leave the ratio out"
            )


def _has_generated(source: SampleSource) -> bool:
    read = spread_samples(source, _MOST_SEARCHED_SAMPLES)
    return any(read[index].generated_captions for index in range(len(read)))
