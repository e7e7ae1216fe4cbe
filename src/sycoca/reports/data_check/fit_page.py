"""The part of a data check's page that a model made: pairs that fit least, captions that fit others, and the map."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from sycoca.data.samples import SampleSource
from sycoca.evaluation.fit_records import DataFit, DataMap, PairFit, SetFit, one_per_image
from sycoca.reports.data_check.thumbnails import Thumbnail, thumbnail

MOST_PAIRS = 12
"""Pairs of each kind that are shown, one per image; the JSON has 100."""

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
            least=[_shown(pair, source, with_other=False) for pair in one_per_image(one.least)[:MOST_PAIRS]],
            fitting_another=[
                _shown(pair, source, with_other=True) for pair in one_per_image(one.fitting_another)[:MOST_PAIRS]
            ],
        )
        for source, one in zip(sources, fit.sets, strict=True)
        if one is not None
    ]


def map_parts(shown: DataMap) -> list[str]:
    """Return the sets and splits on a map, in the order of their colors."""
    return list(dict.fromkeys(point.part for point in shown.points))


def map_json(shown: DataMap) -> str:
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
        }
        for point in shown.points
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
