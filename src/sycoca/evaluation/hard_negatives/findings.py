"""What one benchmark finds: values per entry, and the metrics that follow from them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sycoca.data.benchmarks.records import NamedImage
from sycoca.evaluation.hard_negatives.text_scores import TextScores
from sycoca.evaluation.report import ItemScores
from sycoca.metrics.resampling import metrics_of_items

MOST_TYPES = 12
"""Types of negatives up to which each has its own row in a report; ARO's relations and pairs of attributes are more."""

Score = Callable[[Sequence[NamedImage], Sequence[Sequence[str]]], TextScores]
"""Scores the texts of images, see `text_scores`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """The result of a benchmark."""

    unit: str
    """What an entry is called in reports."""

    items: ItemScores
    """Values of every entry."""

    metrics: Mapping[str, float]
    """Values by name."""


def item_metrics(items: ItemScores) -> dict[str, float]:
    """Return every metric that follows from the items, as `sycoca compare` finds them again for its intervals.

    Types have rows of their own where there are several, but not more than `MOST_TYPES`, and a mean over them where
    there are several.
    """
    columns = {name: np.asarray(column, dtype=np.float64) for name, column in items.values.items()}
    places = _places_of_types(items)
    kinds = {kind: np.asarray(own) for kind, own in places.items()} if len(places) > 1 else {}
    once = metrics_of_items(columns, np.ones((1, len(items.keys))), kinds)
    hidden = tuple(kinds) if len(kinds) > MOST_TYPES else ()
    return {name: float(value[0]) for name, value in once.items() if not name.endswith(hidden)}


def _places_of_types(items: ItemScores) -> dict[str, list[int]]:
    places: dict[str, list[int]] = {}
    for prefix, types in items.kinds.items():
        for place, own in enumerate(types):
            if own is not None:
                places.setdefault(f"{prefix}{own}", []).append(place)
    return places
