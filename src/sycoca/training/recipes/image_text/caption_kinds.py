"""Which captions training draws: original ones, or those that a model has generated; one of an image, or several."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import final

from sycoca.data.samples import ImageTextSample, MixedSource, SampleSource
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
            raise ValueError(
                f"no generated captions in {names}{_searched(drawn)}, and generated_caption_ratio draws them; name"
                " their column, as in ?generated=blip, or leave the ratio out"
            )


def check_several_captions(source: SampleSource, captions_per_image: int) -> None:
    """Raise ValueError where ``objectives.captions_per_image`` asks for several, and no image has them."""
    if captions_per_image > 1 and not any(map(_has_several, _searched_samples(source))):
        raise ValueError(
            f"no image of {source.name} has several captions{_searched([source])}, and objectives.captions_per_image"
            f" {captions_per_image} compares them; name a column of lists of captions, or set it to 1"
        )


def _has_generated(source: SampleSource) -> bool:
    return any(sample.generated_captions for sample in _searched_samples(source))


def _has_several(sample: ImageTextSample) -> bool:
    return len(sample.captions) > 1 or len(sample.generated_captions) > 1


def _searched_samples(source: SampleSource) -> Iterator[ImageTextSample]:
    read = spread_samples(source, _MOST_SEARCHED_SAMPLES)
    return (read[index] for index in range(len(read)))


def _searched(sources: Sequence[SampleSource]) -> str:
    is_sampled = any(len(source) > _MOST_SEARCHED_SAMPLES for source in sources)
    return f" (searched: {_MOST_SEARCHED_SAMPLES:,} samples, evenly spread)" if is_sampled else ""
