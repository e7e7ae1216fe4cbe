"""The part of a data check's page that a model made: pairs that fit least, captions that fit others, and the map."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from sycoca.data.samples import SampleSource
from sycoca.evaluation.fit_records import DataFit, DataMap, MapPoint, PairFit, SetFit
from sycoca.reports.data_check.thumbnails import Thumbnail, thumbnail

NUM_COLORS = 6
"""Colors of a map's parts; further parts share the last one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownPair:
    """A pair with the image that fits its caption better, where there is one."""

    pair: PairFit
    own: Thumbnail
    other: Thumbnail | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownFit:
    """What a model says about one set."""

    name: str
    fit: SetFit
    least: Sequence[ShownPair]
    fitting_another: Sequence[ShownPair]


def shown_fits(fit: DataFit, sources: Sequence[SampleSource]) -> list[ShownFit]:
    """Return the pairs of each set that has captions, with thumbnails."""
    return [
        ShownFit(
            name=source.name,
            fit=one,
            least=[_shown(pair, source, with_other=False) for pair in one.shown_least],
            fitting_another=[_shown(pair, source, with_other=True) for pair in one.shown_fitting_another],
        )
        for source, one in zip(sources, fit.sets, strict=True)
        if one is not None
    ]


def map_parts(shown: DataMap) -> list[str]:
    """Return the sets and splits on a map, in the order of their colors."""
    return list(dict.fromkeys(point.part for point in shown.points))


Misfit = Literal["least", "another"]
"""least: one of the pairs that fit least. another: a caption that fits another image as
well or better."""

MISFIT_TITLES: Mapping[Misfit, str] = {
    "least": "among the pairs that fit least",
    "another": "with a caption that fits another image as well or better",
}
"""How images with marks are called, after their number."""

MISFIT_SHAPES: Mapping[Misfit, str] = {
    "least": "M-10-10H10V10H-10Z",
    "another": "M0-15A15 15 0 1 1 0 15A15 15 0 1 1 0-15Z",
}
"""SVG paths of marks: a square, and a circle around it, since an image may have both."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """Why an image is marked on a map."""

    misfit: Misfit
    text: str
    other: int | None
    """Number of the point whose image fits the caption better; None for other marks."""


def map_marks(fit: DataFit, shown: DataMap) -> list[list[Mark]]:
    """Return the marks of each point of a map: one for each pair of its image that the page shows."""
    number_of = {(point.set_number, point.index): number for number, point in enumerate(shown.points)}
    return [list(_marks(fit.sets[point.set_number], point, number_of)) for point in shown.points]


def _marks(fit: SetFit | None, point: MapPoint, number_of: Mapping[tuple[int, int], int]) -> Iterator[Mark]:
    if fit is None:
        return
    for pair in fit.shown_least:
        if pair.index == point.index:
            text = f"fits its caption least, cosine {pair.cosine:.3f}: {pair.caption}"
            yield Mark(misfit="least", text=text, other=None)
    for pair in fit.shown_fitting_another:
        if pair.index == point.index:
            text = f"another image fits better, {pair.other_cosine:.3f} against {pair.cosine:.3f}: {pair.caption}"
            other = None if pair.other_index is None else number_of.get((point.set_number, pair.other_index))
            yield Mark(misfit="another", text=text, other=other)


def num_marked(marks: Sequence[Sequence[Mark]]) -> dict[Misfit, int]:
    """Return the number of marked points by kind of mark, kinds that occur."""
    numbers = Counter(misfit for own in marks for misfit in {one.misfit for one in own})
    return {misfit: numbers[misfit] for misfit in MISFIT_TITLES if numbers[misfit]}


def map_json(shown: DataMap, marks: Sequence[Sequence[Mark]]) -> str:
    """Return the points of a map as JSON that can stand inside a script element of a page."""
    parts = map_parts(shown)
    points = [
        {
            "x": round(point.x, 4),
            "y": round(point.y, 4),
            "part": min(parts.index(point.part), NUM_COLORS - 1),
            "name": point.name,
            "caption": point.caption,
            "picture": point.picture,
            "marks": [asdict(mark) for mark in own],
        }
        for point, own in zip(shown.points, marks, strict=True)
    ]
    # A script element ends at "</script", whatever stands around it.
    return json.dumps(points).replace("<", "\\u003c")


def _shown(pair: PairFit, source: SampleSource, *, with_other: bool) -> ShownPair:
    other = pair.other_index if with_other else None
    return ShownPair(
        pair=pair,
        own=thumbnail(source[pair.index], source.name),
        other=None if other is None else thumbnail(source[other], source.name),
    )
