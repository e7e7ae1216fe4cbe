"""A comparison as tables for the terminal."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sycoca.evaluation.comparison import Comparison, Difference, MetricValue
from sycoca.facts.metric_facts import is_improvement, readable, readable_difference
from sycoca.metrics.intervals import Interval
from sycoca.terminal import plain

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

MARK = "*"
"""Marks a difference whose intervals exclude 0."""

_STYLES = {True: "green", False: "red", None: ""}
"""The color of a clear difference, by whether it is for the better."""


ITEMS_ONLY = "test items only"
"""Head of differences between single reports: their intervals do not cover the randomness of training."""


def comparison_title(comparison: Comparison, section: str | None = None) -> str:
    """Return the task in words, with the name of its section where that is another one."""
    task = comparison.task.replace("_", " ")
    return task if section in (None, comparison.task) else f"{task} ({section})"


def comparison_tables(comparison: Comparison, section: str | None = None) -> "list[Table]":
    """Return one table for two rows; for more a table of values and one of differences to the first.

    Below a value stand its 95 % intervals: over test items, and over seeds where the row has several reports.
    """
    title = comparison_title(comparison, section)
    num_reports = comparison.num_reports
    values = {
        f"{name}\n{_counted(num_reports[place])}": _column_of_values(comparison, place)
        for place, name in enumerate(comparison.reports)
    }
    base = comparison.reports[0]
    differences = {
        f"{name} - {base}\n{interval_head(comparison, place)}": _column_of_differences(comparison, place)
        for place, name in enumerate(comparison.reports)
        if place > 0
    }
    metrics = list(comparison.values)
    if len(comparison.reports) <= 2:
        return [_table(title, metrics, {**values, **differences})]
    return [_table(title, metrics, values), _table(f"{title}: differences", metrics, differences)]


def interval_head(comparison: Comparison, place: int) -> str:
    """Return what the intervals of a row's differences to the first row are over."""
    return ITEMS_ONLY if 1 in (comparison.num_reports[0], comparison.num_reports[place]) else "items and seeds"


def _counted(num_reports: int) -> str:
    return "1 report" if num_reports == 1 else f"{num_reports} seeds"


def legend(comparison: Comparison) -> list[str]:
    """Return lines that explain the tables, and the limits of the comparison."""
    return [*explanations(comparison), *limits(comparison)]


def explanations(comparison: Comparison) -> list[str]:
    """Return lines that say what the intervals are."""
    lines = ["Below a value: its 95 % interval over test items (bootstrap)."]
    if max(comparison.num_reports) > 1:
        lines.append('"seeds": the 95 % interval over the reports of a row (t, for differences Welch).')
    if _found(comparison):
        lines.append("Differences of rates are in percentage points; they are paired, on the items of both rows.")
    lacking = [name for name, row in comparison.values.items() if any(_has_no_interval(value) for value in row)]
    if lacking:
        names = ", ".join(lacking)
        lines.append(f"Without interval, since the reports have no values per item, or of one image alone: {names}.")
    return lines


def limits(comparison: Comparison) -> list[str]:
    """Return lines that say what else may explain a difference: chance, seeds, other settings."""
    found = _found(comparison)
    lines = []
    if found:
        clear, by_chance = sum(one.is_clear for one in found), 0.05 * len(found)
        lines.append(
            f"{MARK}: no interval of the difference holds 0; {clear} of {len(found)} here. Between rows that do not"
            f" differ, chance marks up to about {by_chance:.1g} of {len(found)}."
        )
        if any(one.seed_interval is None for one in found):
            lines.append("A row of one report does not tell how much seeds differ: another seed may differ more.")
    return [*lines, *(f"{note}." for note in comparison.notes)]


def _found(comparison: Comparison) -> list[Difference]:
    return [one for row in comparison.differences.values() for one in row if one is not None]


def _has_no_interval(value: MetricValue | None) -> bool:
    return value is not None and value.interval is None


def _table(title: str, metrics: Sequence[str], columns: "Mapping[str, Sequence[Text]]") -> "Table":
    from rich.table import Table

    table = Table(title=plain(title, style="table.title"), title_justify="left", pad_edge=False)
    table.add_column("metric", overflow="fold")
    for name in columns:
        table.add_column(plain(name), justify="right", overflow="fold")
    for metric, *cells in zip(metrics, *columns.values(), strict=True):
        table.add_row(plain(metric), *cells)
    return table


def _column_of_values(comparison: Comparison, place: int) -> "list[Text]":
    return [_value_cell(name, row[place]) for name, row in comparison.values.items()]


def _column_of_differences(comparison: Comparison, place: int) -> "list[Text]":
    return [_difference_cell(name, row[place]) for name, row in comparison.differences.items()]


def _value_cell(name: str, value: MetricValue | None) -> "Text":
    from rich.text import Text

    if value is None:
        return Text("-")
    shown, *intervals = value_lines(name, value)
    return Text.assemble(shown, *(part for line in intervals for part in ("\n", (line, "dim"))))


def value_lines(name: str, value: MetricValue) -> list[str]:
    """Return a metric's value, its interval over test items ("-" without one), and over seeds where there is one."""
    return [readable(name, value.value), _interval(name, value.interval), *_over_seeds(name, value.seed_interval)]


def _difference_cell(name: str, found: Difference | None) -> "Text":
    from rich.text import Text

    if found is None:
        return Text("-")
    style = _STYLES[is_improvement(name, found.difference)] if found.is_clear else ""
    shown, *intervals = marked_lines(name, found)
    # Digits stay below each other, with a mark behind them or not.
    aligned = shown if found.is_clear else f"{shown}{' ' * len(f' {MARK}')}"
    return Text.assemble((aligned, style), *(part for line in intervals for part in ("\n", (line, "dim"))))


def marked_lines(name: str, found: Difference) -> list[str]:
    """Return `difference_lines`, with a mark behind a difference whose intervals exclude 0."""
    shown, *intervals = difference_lines(name, found)
    return [f"{shown} {MARK}" if found.is_clear else shown, *intervals]


def difference_lines(name: str, found: Difference) -> list[str]:
    """Return a difference with its sign, its interval over test items, and over seeds where there is one."""
    return [
        readable_difference(name, found.difference),
        _interval(name, found.interval, is_signed=True),
        *_over_seeds(name, found.seed_interval, is_signed=True),
    ]


def _over_seeds(name: str, interval: Interval | None, *, is_signed: bool = False) -> list[str]:
    return [] if interval is None else [f"seeds {_interval(name, interval, is_signed=is_signed)}"]


def _interval(name: str, interval: Interval | None, *, is_signed: bool = False) -> str:
    if interval is None:
        return "-"
    low, high = (readable_difference(name, end) if is_signed else readable(name, end) for end in interval)
    return f"{low.removesuffix(' %')} to {high.removesuffix(' %')}"
