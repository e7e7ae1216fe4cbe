"""An analysis as one self-contained HTML page."""

from collections.abc import Sequence
from dataclasses import dataclass

import yaml

from sycoca.experiments.ablation.analysis import Analysis, AnalyzedRow, PairedDifference
from sycoca.experiments.ablation.plan import AblationPlan
from sycoca.experiments.ablation.table_text import (
    detectable_cell,
    difference_cell,
    explanations,
    heading,
    interval_cell,
    items_cell,
    mark,
    mean_cell,
    paper_cell,
)
from sycoca.facts.ablation_metrics import METRIC_GROUPS
from sycoca.facts.metric_facts import metric_title
from sycoca.reports.html import render


@dataclass(frozen=True, kw_only=True, slots=True)
class _Whisker:
    """An interval and its center, in percent of the width; 0 is at 50."""

    left: float
    width: float
    center: float


@dataclass(frozen=True, kw_only=True, slots=True)
class _Line:
    """A row of the table of a metric; texts are empty where there is nothing."""

    title: str
    mean: str
    interval: str
    difference: str
    mark: str
    over_items: str
    detectable: str
    whisker: _Whisker | None


@dataclass(frozen=True, kw_only=True, slots=True)
class _MetricTable:
    name: str
    title: str
    group: str
    lines: list[_Line]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Section:
    analysis: Analysis
    heading: str
    paper: list[str]
    """The paper's results of each row."""
    metrics: list[_MetricTable]


def ablation_page(plan: AblationPlan, analyses: Sequence[Analysis]) -> str:
    """Return the page as HTML; texts are escaped."""
    return render(
        "ablation.html",
        plan=plan,
        sections=[_section(one) for one in analyses],
        explanations=explanations(analyses[0]),
        recipe=yaml.safe_dump(plan.recipe.to_plain(), sort_keys=False, allow_unicode=True, width=110),
    )


def _section(analysis: Analysis) -> _Section:
    tables = [
        _metric_table(analysis, name, group)
        for group, names in METRIC_GROUPS.items()
        for name in names
        if any(name in row.metrics for row in analysis.rows)
    ]
    paper = [paper_cell(row) for row in analysis.rows]
    return _Section(analysis=analysis, heading=heading(analysis), paper=paper, metrics=tables)


def _metric_table(analysis: Analysis, name: str, group: str) -> _MetricTable:
    found = [_difference(row, name) for row in analysis.rows]
    ends = [abs(end) for one in found if one is not None for end in (one.interval or (one.mean, one.mean))]
    largest = max([1e-12, *ends])
    lines = [_line(row, name, one, largest) for row, one in zip(analysis.rows, found, strict=True)]
    return _MetricTable(name=name, title=metric_title(name), group=group, lines=lines)


def _line(row: AnalyzedRow, name: str, difference: PairedDifference | None, largest: float) -> _Line:
    value = row.metrics.get(name)
    return _Line(
        title=row.row.title,
        mean="" if value is None else mean_cell(name, value),
        interval=interval_cell(name, value),
        difference="" if difference is None else difference_cell(name, difference),
        mark="" if difference is None else mark(name, difference),
        over_items="" if difference is None else items_cell(name, difference),
        detectable="" if difference is None else detectable_cell(name, difference),
        whisker=None if difference is None else _whisker(difference, largest),
    )


def _difference(row: AnalyzedRow, name: str) -> PairedDifference | None:
    value = row.metrics.get(name)
    return None if value is None else value.difference


def _whisker(difference: PairedDifference, largest: float) -> _Whisker:
    low, high = difference.interval or (difference.mean, difference.mean)
    left, right, center = (50 + 48 * value / largest for value in (low, high, difference.mean))
    return _Whisker(left=round(left, 2), width=round(right - left, 2), center=round(center, 2))
