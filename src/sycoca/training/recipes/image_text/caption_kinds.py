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

    def check_several(self, captions_per_image: int) -> None:
        """Raise ValueError where ``objectives.captions_per_image`` asks for several, and no image has them.

        Those of an image are all of one kind, the original or the generated ones.
        """
        if captions_per_image == 1 or any(
            _draws_several(sample, ratio)
            for source, ratio in zip(self._sources, self._ratios, strict=True)
            for sample in _searched_samples(source)
        ):
            return
        names = ", ".join(source.name for source in self._sources)
        raise ValueError(
            f"no image of {names} has several captions of a kind that is drawn{_searched(self._sources)}, and"
            f" objectives.captions_per_image {captions_per_image} compares them; name a column of lists of captions, or"
            " set it to 1"
        )


def _has_generated(source: SampleSource) -> bool:
    return any(sample.generated_captions for sample in _searched_samples(source))


def _draws_several(sample: ImageTextSample, generated_ratio: float | None) -> bool:
    """Return whether a kind of captions is drawn of which the sample has several; see `CaptionBatches`."""
    original, generated = sample.captions, () if generated_ratio is None else sample.generated_captions
    if not (original and generated and generated_ratio is not None):
        return len(original or generated) > 1
    return (len(original) > 1 and generated_ratio < 1) or (len(generated) > 1 and generated_ratio > 0)


def _searched_samples(source: SampleSource) -> Iterator[ImageTextSample]:
    read = spread_samples(source, _MOST_SEARCHED_SAMPLES)
    return (read[index] for index in range(len(read)))


def _searched(sources: Sequence[SampleSource]) -> str:
    is_sampled = any(len(source) > _MOST_SEARCHED_SAMPLES for source in sources)
    return f" (searched: {_MOST_SEARCHED_SAMPLES:,} samples, evenly spread)" if is_sampled else ""
