"""The analysis of an ablation: means over seeds, and differences to the baseline, paired by seed. Imports no torch."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sycoca.experiments.ablation.plan import AblationPlan
from sycoca.experiments.ablation.recipe import AblationRow
from sycoca.experiments.ablation.run_result import RunResult
from sycoca.experiments.ablation.settings import EqualBy
from sycoca.facts.ablation_metrics import MEASURED
from sycoca.facts.metric_ranges import range_of
from sycoca.metrics.intervals import Interval, t_interval
from sycoca.metrics.power import smallest_detectable_difference
from sycoca.metrics.resampling import percentile_interval

Resamples = Mapping[int, Sequence[float]]
"""By seed the values of a metric in all resamples of the test items."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PairedDifference:
    """A row less the baseline, over the seeds that both have."""

    mean: float
    """Mean difference."""

    deviation: float | None
    """Standard deviation of the differences over seeds; None for a single one."""

    interval: Interval | None
    """95 % interval of the mean (Student's t); None for a single seed."""

    num_pairs: int
    """Seeds that both have."""

    item_interval: Interval | None
    """95 % interval of the mean by bootstrap over test items, the same of both rows and all seeds (percentiles): what
    other test items would give to these models. None where the metric was not resampled."""

    smallest_detectable: float | None
    """The difference that so many seeds find with 80 % power, given this deviation; None for a single seed."""

    @property
    def is_clear(self) -> bool:
        """Whether the interval excludes 0."""
        return self.interval is not None and (self.interval[0] > 0 or self.interval[1] < 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricOfRow:
    """A metric of a row over its seeds."""

    mean: float
    """Mean over seeds."""

    deviation: float | None
    """Standard deviation over seeds; None for a single one."""

    interval: Interval | None
    """95 % interval of the mean (Student's t); None for a single seed."""

    difference: PairedDifference | None
    """To the baseline; None for the baseline itself, and where no seed has both."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AnalyzedRow:
    """A row with all its results."""

    row: AblationRow
    """The row."""

    steps: int
    """Steps of its runs."""

    seeds: tuple[int, ...]
    """Seeds with results."""

    processor_minutes: float | None
    """Mean processor time of training; None without results."""

    metrics: Mapping[str, MetricOfRow]
    """By name the metrics that all its results have."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Analysis:
    """The rows of an ablation at equal steps, or at equal processor time."""

    table: str
    """The table of the paper, or the name of the recipe."""

    setting: str
    """Model and data."""

    measured_on: str
    """SPEC of the data that results are measured on."""

    equal: EqualBy
    """What the rows have in common."""

    baseline: str
    """The row that the others are compared with."""

    remark: str
    """What the paper says of all rows together."""

    rows: tuple[AnalyzedRow, ...]
    """The rows, in order; those without results, too."""

    @property
    def compares(self) -> bool:
        """Whether more than one row has results."""
        return sum(bool(row.seeds) for row in self.rows) > 1

    def to_plain(self) -> dict[str, Any]:
        """Return the analysis as plain data, intervals as lists."""
        return json.loads(json.dumps(asdict(self), allow_nan=False))


def analyze(plan: AblationPlan, results: Sequence[RunResult], steps: Mapping[str, int], equal: EqualBy) -> Analysis:
    """Return the analysis of all results that have the given ``steps`` by row."""
    of_row = {
        row.name: {one.seed: one for one in results if (one.row, one.steps) == (row.name, steps[row.name])}
        for row in plan.recipe.rows
    }
    baseline = plan.recipe.baseline
    return Analysis(
        table=plan.recipe.name,
        setting=plan.setting,
        measured_on=plan.measured_on,
        equal=equal,
        baseline=baseline,
        remark=plan.recipe.remark,
        rows=tuple(
            _analyzed(row, steps[row.name], of_row[row.name], {} if row.name == baseline else of_row[baseline])
            for row in plan.recipe.rows
        ),
    )


def paired_difference(
    own: Mapping[int, float],
    baseline: Mapping[int, float],
    own_resamples: Resamples | None = None,
    baseline_resamples: Resamples | None = None,
) -> PairedDifference | None:
    """Return the difference of two rows over the seeds that both have; None where there is none.

    Args:
        own: value of the row by seed.
        baseline: value of the baseline by seed.
        own_resamples: value of the row by seed in each resample of the test items; None where there are none.
        baseline_resamples: the same of the baseline.
    """
    differences = [value - baseline[seed] for seed, value in own.items() if seed in baseline]
    if not differences:
        return None
    deviation = _deviation(differences)
    return PairedDifference(
        mean=float(np.mean(differences)),
        deviation=deviation,
        interval=t_interval(differences),
        item_interval=_item_interval(
            own_resamples or {}, baseline_resamples or {}, [seed for seed in own if seed in baseline]
        ),
        num_pairs=len(differences),
        smallest_detectable=None if deviation is None else smallest_detectable_difference(deviation, len(differences)),
    )


def _analyzed(
    row: AblationRow, steps: int, own: Mapping[int, RunResult], baseline: Mapping[int, RunResult]
) -> AnalyzedRow:
    columns = {name: _column(own, name) for name in MEASURED}
    return AnalyzedRow(
        row=row,
        steps=steps,
        seeds=tuple(own),
        processor_minutes=float(np.mean([one.training_processor_seconds for one in own.values()])) / 60
        if own
        else None,
        metrics={
            name: MetricOfRow(
                mean=float(np.mean(list(values.values()))),
                deviation=_deviation(list(values.values())),
                interval=t_interval(list(values.values()), within=range_of(name)),
                difference=paired_difference(
                    values, _column(baseline, name) or {}, _resamples(own, name), _resamples(baseline, name)
                ),
            )
            for name, values in columns.items()
            if values is not None
        },
    )


def _column(results: Mapping[int, RunResult], name: str) -> dict[int, float] | None:
    """Return a metric by seed; None unless all results have it, for a mean over some of them would mislead."""
    values = {seed: value for seed, result in results.items() if (value := result.metrics.get(name)) is not None}
    return values if values and len(values) == len(results) else None


def _resamples(results: Mapping[int, RunResult], name: str) -> Resamples:
    return {seed: result.resamples[name] for seed, result in results.items() if name in result.resamples}


def _item_interval(own: Resamples, baseline: Resamples, seeds: Sequence[int]) -> Interval | None:
    if not all(seed in own and seed in baseline for seed in seeds):
        return None
    differences = [np.subtract(own[seed], baseline[seed]) for seed in seeds]
    return percentile_interval(np.mean(differences, axis=0))


def _deviation(values: Sequence[float]) -> float | None:
    return math.sqrt(float(np.var(values, ddof=1))) if len(values) > 1 else None
