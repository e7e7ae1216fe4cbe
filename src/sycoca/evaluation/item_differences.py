"""The test items on which two rows of a comparison differ most."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sycoca.evaluation.paired_items import have_same_items, set_dependent
from sycoca.evaluation.report import ItemScores, Report
from sycoca.facts.metric_facts import metric_facts

_MEASURES = (
    "text_to_image_mean_rank",
    "cider",
    "caption_truth",
    "vqa_accuracy",
    "answer_accuracy",
    "accuracy_top_1",
)
"""Metrics by which items are told apart, the first that a report has values of; rates of single items are 0 or 1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemDifference:
    """A test item with its values in two rows."""

    key: str
    """Name of the item."""

    image: str
    """Key of its image."""

    first: float
    """Its value in the first row; the mean over the reports of the row."""

    other: float
    """Its value in the other row."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemDifferences:
    """The items of a metric on which two rows differ most, and on which both are worst."""

    metric: str
    """The metric whose values per item are compared."""

    unit: str
    """What an item is: image, caption, question."""

    num_items: int
    """Items that both rows have."""

    num_better: int
    """Items on which the other row is better."""

    num_worse: int
    """Items on which it is worse."""

    gains: tuple[ItemDifference, ...]
    """Where the other row is better by most."""

    losses: tuple[ItemDifference, ...]
    """Where it is worse by most."""

    worst: tuple[ItemDifference, ...]
    """Where the better of both rows is worst."""


def item_differences(first: Sequence[Report], other: Sequence[Report], most: int) -> ItemDifferences | None:
    """Return the items, up to ``most`` of each sort, on which two rows differ; None without items of both.

    A row is the reports of several seeds, whose values are averaged. Where rows are of different test items, metrics
    that depend on the whole set, such as ranks, are passed over.
    """
    found = _measure(first, other)
    if found is None:
        return None
    unit, metric = found
    values = [_mean_values(row, unit, metric) for row in (first, other)]
    items = first[0].items[unit]
    images = items.keys if items.groups is None else items.groups
    pairs = [
        ItemDifference(key=key, image=image, first=values[0][key], other=values[1][key])
        for key, image in zip(items.keys, images, strict=True)
        if key in values[1]
    ]
    facts = metric_facts(metric)
    sign = -1 if facts is not None and facts.is_better_higher is False else 1
    # Equal differences stand in the order of the data.
    by_gain = sorted(pairs, key=lambda one: -sign * (one.other - one.first))
    gains = [one for one in by_gain if sign * (one.other - one.first) > 0]
    losses = [one for one in reversed(by_gain) if sign * (one.other - one.first) < 0]
    best = max(sign * value for one in pairs for value in (one.first, one.other)) if pairs else 0.0
    worst = sorted(pairs, key=lambda one: max(sign * one.first, sign * one.other))
    return ItemDifferences(
        metric=metric,
        unit=unit,
        num_items=len(pairs),
        num_better=len(gains),
        num_worse=len(losses),
        gains=tuple(gains[:most]),
        losses=tuple(losses[:most]),
        worst=tuple(one for one in worst[:most] if max(sign * one.first, sign * one.other) < best),
    )


def _measure(first: Sequence[Report], other: Sequence[Report]) -> tuple[str, str] | None:
    """Return unit and metric of the values that both rows have and that can be compared."""
    reports = (*first, *other)
    apart = [] if have_same_items(reports) else set_dependent(_MEASURES)
    measures = [metric for metric in _MEASURES if metric not in apart]
    return next(((unit, metric) for metric in measures for unit in _units(metric, reports)), None)


def _units(metric: str, reports: Sequence[Report]) -> Iterator[str]:
    for unit in reports[0].items:
        if all(unit in report.items and metric in report.items[unit].values for report in reports):
            yield unit


def _mean_values(row: Sequence[Report], unit: str, metric: str) -> dict[str, float]:
    columns = [_by_key(report.items[unit], metric) for report in row]
    common = [key for key in columns[0] if all(key in column for column in columns)]
    return {key: float(np.mean([column[key] for column in columns])) for key in common}


def _by_key(items: ItemScores, metric: str) -> dict[str, float]:
    return dict(zip(items.keys, map(float, items.values[metric]), strict=True))
