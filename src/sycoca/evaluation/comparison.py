"""Comparison of reports: confidence intervals of metrics and differences, over test items and over seeds."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain

import numpy as np
from jaxtyping import Float, Int
from rich.console import Console

from sycoca.evaluation.comparison_notes import other_settings, repeated_weights
from sycoca.evaluation.paired_items import chosen_items, common_keys, have_same_items, set_dependent, unpaired_note
from sycoca.evaluation.report import ItemScores, Report
from sycoca.facts.metric_ranges import range_of
from sycoca.metrics.intervals import Interval, t_interval, welch_interval
from sycoca.metrics.resampling import Weights, bootstrap, metrics_of_items, percentile_intervals
from sycoca.progress_bar import tracked


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricValue:
    """A metric of a row of the comparison, with its 95 % confidence intervals."""

    value: float
    """The metric; the mean over the reports of the row."""

    interval: Interval | None
    """The bootstrap interval over test items; None for reports without items, or with those of one image alone."""

    seed_interval: Interval | None = None
    """The t interval over the reports of the row (seeds); None for a single report."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """A row's metric minus that of the first row, on the items of both."""

    difference: float
    """The difference, in the metric's unit."""

    interval: Interval | None
    """The bootstrap interval of paired resamples: both metrics are computed from the same items. None where these are
    of one image, or of another single group."""

    num_items: int
    """Number of items in both rows."""

    seed_interval: Interval | None = None
    """Welch's interval over the reports (seeds) of both rows; None where one of them is a single report."""

    @property
    def is_clear(self) -> bool:
        """Whether all known intervals exclude 0, that over test items among them."""
        if self.interval is None:
            return False
        known = [self.interval] if self.seed_interval is None else [self.interval, self.seed_interval]
        return all(low > 0 or high < 0 for low, high in known)


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Metrics of several rows of one task; every list has one entry per row, in the same order."""

    task: str
    """The task of the reports."""

    reports: Sequence[str]
    """Names of the rows; a row is one report, or several of different seeds."""

    num_reports: Sequence[int]
    """Number of reports of every row."""

    values: Mapping[str, Sequence[MetricValue | None]]
    """By metric its values; None where a row does not have it."""

    differences: Mapping[str, Sequence[Difference | None]]
    """By metric the differences to the first row; None for the first row and where nothing can be paired."""

    notes: Sequence[str]
    """Limits of the comparison, in words."""

    def __repr__(self) -> str:
        return f"<Comparison of {self.task}: {' against '.join(self.reports)}, {len(self.values)} metrics>"

    def to_json(self) -> str:
        """Return the comparison as JSON."""
        return json.dumps(asdict(self), indent=2, allow_nan=False)


def compare_reports(
    reports: Mapping[str, Report | Sequence[Report]], *, seed: int = 0, console: Console | None = None
) -> Comparison:
    """Compare rows, given by name, with the first of them, with a progress bar on the console if any.

    A row is one report, or several of models that were trained with different seeds. Raises ValueError for reports of
    different tasks, for one whose items do not add up to its metrics, and for reports of one row with other test items.
    """
    rows = {name: [row] if isinstance(row, Report) else list(row) for name, row in reports.items()}
    tasks = Counter(report.task for row in rows.values() for report in row)
    if len(tasks) != 1:
        raise ValueError(f"only reports of one task can be compared, these are of {', '.join(tasks)}")
    first_name, first = next(iter(rows.items()))
    metrics = list(dict.fromkeys(chain.from_iterable(report.metrics for row in rows.values() for report in row)))
    intervals: dict[str, dict[str, Interval]] = {}
    differences: dict[str, dict[str, Difference]] = {first_name: {}}
    notes = []
    for name, row in tracked(rows.items(), len(rows), "resampling", console=console):
        _check_same_items(name, row)
        intervals[name] = _intervals(name, row, seed)
        notes += dict.fromkeys(f"{name}: {remark}" for report in row for remark in report.remarks)
        notes += [note for report in row[1:] for note in other_settings(f"{name}, another report", row[0], report)]
        notes += repeated_weights(name, row)
        if name != first_name:
            differences[name], unpaired = _differences(first, row, seed)
            notes += [f"{name}: {note}" for note in unpaired]
            notes += other_settings(name, first[0], row[0]) or repeated_weights(
                f"{first_name}, {name}", (first[0], row[0])
            )
    return Comparison(
        task=first[0].task,
        reports=list(rows),
        num_reports=[len(row) for row in rows.values()],
        values={metric: [_value(row, metric, intervals[name]) for name, row in rows.items()] for metric in metrics},
        differences={metric: [differences[name].get(metric) for name in rows] for metric in metrics},
        notes=notes,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """What a metric of a report is based on."""

    num_items: int
    """Number of test items."""

    unit: str
    """What an item is: image, caption, question."""

    interval: Interval | None
    """The 95 % bootstrap interval over the items; None where they are of one image alone."""


def evidence_of(report: Report, metric: str, *, seed: int = 0) -> Evidence | None:
    """Return the items of a metric and its interval; None for a metric without items."""
    for unit, items in report.items.items():
        if metric in items.values:
            intervals = _percentiles(_checked_resamples(report.task, report, items, seed), items)
            return Evidence(num_items=len(items.keys), unit=unit, interval=intervals.get(metric))
    return None


def _check_same_items(name: str, row: Sequence[Report]) -> None:
    keys = [{unit: sorted(items.keys) for unit, items in report.items.items()} for report in row]
    if any(own != keys[0] for own in keys):
        raise ValueError(f"{name}: its reports are of different test items; reports of one row differ in the seed only")


def _value(row: Sequence[Report], metric: str, intervals: Mapping[str, Interval]) -> MetricValue | None:
    if not all(metric in report.metrics for report in row):
        return None
    values = [report.metrics[metric] for report in row]
    return MetricValue(
        value=float(np.mean(values)),
        interval=intervals.get(metric),
        seed_interval=t_interval(values, within=range_of(metric)),
    )


def _intervals(name: str, row: Sequence[Report], seed: int) -> dict[str, Interval]:
    found: dict[str, Interval] = {}
    for unit in row[0].items:
        # The same draws for every report, so that the mean is over the same items.
        resamples = [_checked_resamples(name, report, report.items[unit], seed) for report in row]
        shared = [metric for metric in resamples[0] if all(metric in one for one in resamples) and metric not in found]
        means = {metric: _mean([one[metric] for one in resamples]) for metric in shared}
        found |= _percentiles(means, row[0].items[unit])
    return found


def _percentiles(resamples: Mapping[str, Float[np.ndarray, " resamples"]], items: ItemScores) -> dict[str, Interval]:
    return percentile_intervals(resamples, _clusters(items), _kinds(items))


def _checked_resamples(
    name: str, report: Report, items: ItemScores, seed: int
) -> dict[str, Float[np.ndarray, " resamples"]]:
    """Return the resampled metrics of a report. Raises ValueError where its items do not add up to its metrics."""
    statistic = partial(metrics_of_items, _arrays(items), kinds=_kinds(items))
    once = statistic(np.ones((1, len(items.keys))))
    metrics = [metric for metric in once if metric in report.metrics]
    for metric in metrics:
        if not np.isclose(once[metric][0], report.metrics[metric], rtol=1e-6, atol=1e-6):
            raise ValueError(
                f"{name}: {metric} is {report.metrics[metric]:g}, but its items give {once[metric][0]:g}; the file"
                " has been changed"
            )
    resamples = bootstrap(statistic, _clusters(items), seed=seed)
    return {metric: resamples[metric] for metric in metrics}


def _differences(
    first: Sequence[Report], other: Sequence[Report], seed: int
) -> tuple[dict[str, Difference], list[str]]:
    """Return the differences by metric, and in words what could not be paired."""
    found: dict[str, Difference] = {}
    notes = []
    have_same = have_same_items((*first, *other))
    for unit in first[0].items:
        if unit not in other[0].items:
            continue
        both = (first[0].items[unit], other[0].items[unit])
        common = common_keys(unit, both)
        of_first, of_other = ([chosen_items(report.items[unit], common) for report in row] for row in (first, other))
        statistic = partial(_paired_differences, of_first, of_other)
        once = statistic(np.ones((1, len(common)))) if common else {}
        known = [name for name in once if all(name in report.metrics for report in (*first, *other))]
        apart = [] if have_same else set_dependent(known)
        undefined = [name for name in known if name not in apart and not np.isfinite(once[name][0])]
        paired = [name for name in known if name not in apart and name not in undefined]
        note = unpaired_note(unit, both, len(common), apart, has_others=len(apart) < len(known))
        notes += [note] if note else []
        notes += [f"not paired, since they are undefined on the common {unit}s: {', '.join(undefined)}"] * bool(
            undefined
        )
        if not paired:
            continue
        intervals = _percentiles(bootstrap(statistic, _clusters(of_first[0]), seed=seed), of_first[0])
        seeds = [[_metrics_on_all(items) for items in row] for row in (of_first, of_other)]
        found |= {
            metric: Difference(
                difference=float(once[metric][0]),
                interval=intervals.get(metric),
                num_items=len(common),
                seed_interval=welch_interval(*([one[metric] for one in row] for row in seeds)),
            )
            for metric in paired
            if metric not in found
        }
    return found, notes


def _paired_differences(
    first: Sequence[ItemScores], other: Sequence[ItemScores], weights: Weights
) -> dict[str, Float[np.ndarray, " resamples"]]:
    kinds = _kinds(first[0])
    of_first, of_other = ([metrics_of_items(_arrays(items), weights, kinds) for items in row] for row in (first, other))
    shared = [metric for metric in of_first[0] if all(metric in one for one in (*of_first, *of_other))]
    return {
        metric: _mean([one[metric] for one in of_other]) - _mean([one[metric] for one in of_first]) for metric in shared
    }


def _metrics_on_all(items: ItemScores) -> dict[str, float]:
    once = metrics_of_items(_arrays(items), np.ones((1, len(items.keys))), _kinds(items))
    return {metric: float(value[0]) for metric, value in once.items()}


def _mean(arrays: Sequence[Float[np.ndarray, " resamples"]]) -> Float[np.ndarray, " resamples"]:
    return arrays[0] if len(arrays) == 1 else np.mean(arrays, axis=0)


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
