"""Comparison of reports: confidence intervals of metrics and of paired differences."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain

import numpy as np
from jaxtyping import Float, Int
from rich.console import Console

from sycoca.evaluation.report import ItemScores, Report
from sycoca.metrics.resampling import Kinds, Values, Weights, bootstrap, metrics_of_items, percentile_interval
from sycoca.progress_bar import tracked

_FINDINGS = frozenset(
    {"has_converged", "log10_inverse_penalty", "meteor", "most_frequent_answer", "most_frequent_mistakes", "spice"}
)
"""Settings that describe results and not the protocol; two models may differ in them."""

Interval = tuple[float, float]
"""Lower and upper end of a 95 % confidence interval."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricValue:
    """A metric of a report with its confidence interval over test items."""

    value: float
    """The metric."""

    interval: Interval | None
    """The confidence interval; None for a report without items."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """A report's metric minus that of the first report, on the items of both."""

    difference: float
    """The difference, in the metric's unit."""

    interval: Interval
    """The confidence interval of paired resamples: both metrics are computed from the same items."""

    num_items: int
    """Number of items in both reports."""

    @property
    def is_clear(self) -> bool:
        """Whether the interval excludes 0."""
        return self.interval[0] > 0 or self.interval[1] < 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Metrics of several reports of one task; every list has one entry per report, in the same order."""

    task: str
    """The task of the reports."""

    reports: Sequence[str]
    """Names of the reports."""

    values: Mapping[str, Sequence[MetricValue | None]]
    """By metric its values; None where a report does not have it."""

    differences: Mapping[str, Sequence[Difference | None]]
    """By metric the differences to the first report; None for the first report and where nothing can be paired."""

    notes: Sequence[str]
    """Limits of the comparison, in words."""

    def to_json(self) -> str:
        """Return the comparison as JSON."""
        return json.dumps(asdict(self), indent=2, allow_nan=False)


def compare_reports(reports: Mapping[str, Report], *, seed: int = 0, console: Console | None = None) -> Comparison:
    """Compare reports, given by name, with the first of them, with a progress bar on the console if any.

    Raises ValueError for reports of different tasks, and for one whose items do not add up to its metrics.
    """
    tasks = Counter(report.task for report in reports.values())
    if len(tasks) != 1:
        raise ValueError(f"only reports of one task can be compared, these are of {', '.join(tasks)}")
    first_name, first = next(iter(reports.items()))
    names = list(dict.fromkeys(chain.from_iterable(report.metrics for report in reports.values())))
    intervals: dict[str, dict[str, Interval]] = {}
    differences: dict[str, dict[str, Difference]] = {first_name: {}}
    notes = []
    for name, report in tracked(reports.items(), len(reports), "resampling", console=console):
        intervals[name] = _intervals(name, report, seed)
        notes += [f"{name}: {remark}" for remark in report.remarks]
        if name != first_name:
            differences[name], unpaired = _differences(first, report, seed)
            notes += [f"{name}: {note}" for note in unpaired]
            notes += _other_settings(name, first, report)
    return Comparison(
        task=first.task,
        reports=list(reports),
        values={
            metric: [_value(report, metric, intervals[name]) for name, report in reports.items()] for metric in names
        },
        differences={metric: [differences[name].get(metric) for name in reports] for metric in names},
        notes=notes,
    )


def _value(report: Report, metric: str, intervals: Mapping[str, Interval]) -> MetricValue | None:
    if metric not in report.metrics:
        return None
    return MetricValue(value=report.metrics[metric], interval=intervals.get(metric))


def _intervals(name: str, report: Report, seed: int) -> dict[str, Interval]:
    found: dict[str, Interval] = {}
    for items in report.items.values():
        statistic = partial(metrics_of_items, _arrays(items), kinds=_kinds(items))
        once = statistic(np.ones((1, len(items.keys))))
        metrics = [metric for metric in once if metric in report.metrics and metric not in found]
        for metric in metrics:
            if not np.isclose(once[metric][0], report.metrics[metric], rtol=1e-6, atol=1e-6):
                raise ValueError(
                    f"{name}: {metric} is {report.metrics[metric]:g}, but its items give {once[metric][0]:g}; the file"
                    " has been changed"
                )
        resamples = bootstrap(statistic, _clusters(items), seed=seed)
        found |= {metric: percentile_interval(resamples[metric]) for metric in metrics}
    return found


def _differences(first: Report, other: Report, seed: int) -> tuple[dict[str, Difference], list[str]]:
    """Return the differences by metric, and notes on items that could not be paired."""
    found: dict[str, Difference] = {}
    notes = []
    for unit in first.items:
        if unit not in other.items:
            continue
        items = first.items[unit], other.items[unit]
        common, note = _common_keys(first.task, unit, items)
        notes += [note] if note else []
        if not common:
            continue
        of_first, of_other = (_chosen(own, common) for own in items)
        statistic = partial(_paired_differences, _arrays(of_first), _arrays(of_other), _kinds(of_first))
        once = statistic(np.ones((1, len(common))))
        resamples = bootstrap(statistic, _clusters(of_first), seed=seed)
        found |= {
            metric: Difference(
                difference=float(once[metric][0]),
                interval=percentile_interval(resamples[metric]),
                num_items=len(common),
            )
            for metric in once
            if metric in first.metrics and metric in other.metrics and metric not in found
        }
    return found, notes


def _common_keys(task: str, unit: str, items: tuple[ItemScores, ItemScores]) -> tuple[list[str], str | None]:
    """Return the keys that can be paired, and a note on the others."""
    for own in items:
        if len(set(own.keys)) != len(own.keys):
            key, count = Counter(own.keys).most_common(1)[0]
            raise ValueError(f"{unit} {key} occurs {count} times in a report, so items cannot be paired")
    known = set(items[1].keys)
    common = [key for key in items[0].keys if key in known]
    sizes = f"{len(items[0].keys):,} and {len(items[1].keys):,} {unit}s, {len(common):,} of them common"
    if len(common) == len(items[0].keys) == len(items[1].keys):
        return common, None
    if task == "retrieval":
        return [], f"not paired, {sizes}: ranks among different candidates are not comparable"
    return common, f"{'paired on the common ones' if common else 'not paired'}: {sizes}"


def _paired_differences(
    first: Values, other: Values, kinds: Kinds, weights: Weights
) -> dict[str, Float[np.ndarray, " resamples"]]:
    of_first, of_other = metrics_of_items(first, weights, kinds), metrics_of_items(other, weights, kinds)
    return {metric: of_other[metric] - of_first[metric] for metric in of_first if metric in of_other}


def _chosen(items: ItemScores, keys: Sequence[str]) -> ItemScores:
    """Return the items of these keys, in their order."""
    row_of_key = {key: row for row, key in enumerate(items.keys)}
    rows = [row_of_key[key] for key in keys]
    return ItemScores(
        keys=keys,
        values={name: [column[row] for row in rows] for name, column in items.values.items()},
        groups=None if items.groups is None else [items.groups[row] for row in rows],
        kinds={prefix: [column[row] for row in rows] for prefix, column in items.kinds.items()},
    )


def _clusters(items: ItemScores) -> Sequence[str]:
    return items.keys if items.groups is None else items.groups


def _arrays(items: ItemScores) -> dict[str, Float[np.ndarray, " items"]]:
    return {name: np.asarray(values, dtype=np.float64) for name, values in items.values.items()}


def _kinds(items: ItemScores) -> dict[str, Int[np.ndarray, " items_of_kind"]]:
    places: dict[str, list[int]] = {}
    for prefix, names in items.kinds.items():
        for place, name in enumerate(names):
            if name is not None:
                places.setdefault(f"{prefix}{name}", []).append(place)
    return {kind: np.asarray(own) for kind, own in places.items()}


def _other_settings(name: str, first: Report, other: Report) -> list[str]:
    known = [key for key in {**first.settings, **other.settings} if key not in _FINDINGS]
    names = [key for key in known if first.settings.get(key) != other.settings.get(key)]
    if not names:
        return []
    pairs = (f"{key} {other.settings.get(key)} instead of {first.settings.get(key)}" for key in names)
    return [f"{name}: other settings: {'; '.join(pairs)}"]
