"""A comparison of runs and reports as one self-contained HTML page."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sycoca.evaluation.comparison import Comparison, Difference
from sycoca.evaluation.comparison_table import (
    comparison_title,
    explanations,
    interval_head,
    limits,
    marked_lines,
    value_lines,
)
from sycoca.evaluation.item_differences import ItemDifferences
from sycoca.facts.metric_facts import is_improvement, metric_title, readable
from sycoca.facts.metric_ranges import is_fraction
from sycoca.plain_data import write_text
from sycoca.reports.comparing.model_gallery import ModelGallery
from sycoca.reports.comparing.run_overlay import overlaid_charts, row_style
from sycoca.reports.curves import Lines
from sycoca.reports.html import render


@dataclass(frozen=True, kw_only=True, slots=True)
class PageRow:
    """A row of the comparison: a run or report, or several of different seeds."""

    name: str
    """Its name."""

    paths: tuple[str, ...]
    """The run folders and reports, as they were named."""

    runs: tuple[Lines, ...] = ()
    """What its runs logged; empty for reports."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PairDifferences:
    """The test items on which a row and the first one differ most."""

    base: str
    """The first row."""

    other: str
    """The other row."""

    found: ItemDifferences
    """The items."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparePage:
    """The contents of the page; empty parts are left out."""

    rows: Sequence[PageRow]
    """The rows; the first is the baseline."""

    comparisons: Mapping[str, Comparison]
    """By section, such as "retrieval", the metrics of the rows that have it."""

    items: Mapping[str, Sequence[PairDifferences]] = field(default_factory=dict)
    """By section the test items on which rows differ most."""

    pictures: Mapping[str, str] = field(default_factory=dict)
    """By key of an image a small picture of it, as a data URI."""

    gallery: ModelGallery | None = None
    """What the models answer; None without data or weights."""

    missing: Sequence[str] = ()
    """What the page does not show, why, and how to get it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Whisker:
    """An interval and its center, in percent of the width; 0 is at 50."""

    left: float
    width: float
    center: float


@dataclass(frozen=True, kw_only=True, slots=True)
class _DifferenceCell:
    lines: list[str]
    mark: str
    """yes, no or changed where all intervals exclude 0, by whether it is for the better; empty where not."""

    whisker: _Whisker


@dataclass(frozen=True, kw_only=True, slots=True)
class _MetricRow:
    title: str
    values: list[list[str] | None]
    differences: list[_DifferenceCell | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Section:
    title: str
    comparison: Comparison
    metrics: list[_MetricRow]
    heads: list[str]
    """What the intervals of each row's differences are over."""

    explanations: list[str]
    limits: list[str]
    items: Sequence[PairDifferences]

    @property
    def has_differences(self) -> bool:
        """Whether anything can be paired."""
        return any(cell is not None for metric in self.metrics for cell in metric.differences)


_MARKS = {True: "yes", False: "no", None: "changed"}
"""Class of the style sheet, by whether a clear difference is for the better."""


def save_compare_page(page: ComparePage, path: Path) -> None:
    """Write the page as one self-contained HTML file, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, render_compare_page(page))


def render_compare_page(page: ComparePage) -> str:
    """Return the page as HTML; texts are escaped."""
    styles = {row.name: row_style(number) for number, row in enumerate(page.rows)}
    return render(
        "compare.html",
        page=page,
        styles=styles,
        charts=overlaid_charts({row.name: row.runs for row in page.rows}),
        sections=[_section(name, one, page.items.get(name, ())) for name, one in page.comparisons.items()],
        shown_value=lambda metric, value: readable(metric, value),
    )


def _section(name: str, comparison: Comparison, items: Sequence[PairDifferences]) -> _Section:
    largest = _largest(comparison)
    metrics = [
        _MetricRow(
            title=metric_title(metric),
            values=[None if value is None else value_lines(metric, value) for value in values],
            differences=[
                None if found is None else _difference_cell(metric, found, largest[_unit(metric)])
                for found in comparison.differences[metric][1:]
            ],
        )
        for metric, values in comparison.values.items()
    ]
    return _Section(
        title=comparison_title(comparison, name),
        comparison=comparison,
        metrics=metrics,
        heads=[interval_head(comparison, place) for place in range(1, len(comparison.reports))],
        explanations=explanations(comparison),
        limits=limits(comparison),
        items=items,
    )


def _difference_cell(metric: str, found: Difference, largest: float) -> _DifferenceCell:
    ends = [end for interval in _known(found) for end in interval]
    low, high, center = (50 + 48 * value / largest for value in (min(ends), max(ends), found.difference))
    return _DifferenceCell(
        lines=marked_lines(metric, found),
        mark=_MARKS[is_improvement(metric, found.difference)] if found.is_clear else "",
        whisker=_Whisker(left=round(low, 2), width=round(high - low, 2), center=round(center, 2)),
    )


def _largest(comparison: Comparison) -> dict[str, float]:
    """Return by unit the largest distance of an interval's end from 0: metrics of one unit share a scale."""
    largest: dict[str, float] = {}
    for metric, differences in comparison.differences.items():
        unit = _unit(metric)
        ends = (abs(end) for found in differences if found for interval in _known(found) for end in interval)
        largest[unit] = max([largest.get(unit, 1e-12), *ends])
    return largest


def _known(found: Difference) -> Iterator[tuple[float, float]]:
    yield found.interval or (found.difference, found.difference)
    if found.seed_interval is not None:
        yield found.seed_interval


def _unit(metric: str) -> str:
    # Scores and ranks have scales of their own.
    return "percent" if is_fraction(metric) else metric
