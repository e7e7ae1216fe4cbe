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

BLIND_REMARK = (
    "..._blank_image is what the model prefers without seeing the image: where it is as good, the figure shows what"
    " captions are likely, not what the model sees"
)

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

    remarks: tuple[str, ...] = ()
    """What the figures do not show."""


def item_metrics(items: ItemScores, chance: Mapping[str, float]) -> dict[str, float]:
    """Return every metric that follows from the items, as `sycoca compare` finds them again for its intervals.

    The overall ones come first, then those of ``chance``. Types have rows of their own where there are several, but not
    more than `MOST_TYPES`; with several there is also a mean over them.
    """
    columns = {name: np.asarray(column, dtype=np.float64) for name, column in items.values.items()}
    places = _places_of_types(items)
    kinds = {kind: np.asarray(own) for kind, own in places.items()} if len(places) > 1 else {}
    once = metrics_of_items(columns, np.ones((1, len(items.keys))), kinds)
    found = {name: float(value[0]) for name, value in once.items()}
    by_type = {name: value for name, value in found.items() if name.endswith(tuple(kinds))}
    overall = {name: value for name, value in found.items() if name not in by_type}
    return {**overall, **chance, **(by_type if len(kinds) <= MOST_TYPES else {})}


def _places_of_types(items: ItemScores) -> dict[str, list[int]]:
    places: dict[str, list[int]] = {}
    for prefix, types in items.kinds.items():
        for place, own in enumerate(types):
            if own is not None:
                places.setdefault(f"{prefix}{own}", []).append(place)
    return places
