"""A comparison as tables for the terminal."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sycoca.evaluation.comparison import Comparison, Difference, Interval, MetricValue
from sycoca.facts.metric_facts import is_improvement, readable
from sycoca.terminal import plain

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

MARK = "*"
"""Marks a difference whose interval excludes 0."""

_STYLES = {True: "green", False: "red", None: ""}
"""The color of a clear difference, by whether it is for the better."""


def comparison_tables(comparison: Comparison) -> "list[Table]":
    """Return one table for two reports; for more a table of values and one of differences to the first.

    The second line of a cell is its 95 % interval, "-" where there is none.
    """
    title = comparison.task.replace("_", " ")
    values = {f"{name}": _column_of_values(comparison, place) for place, name in enumerate(comparison.reports)}
    base = comparison.reports[0]
    differences = {
        f"{name} - {base}": _column_of_differences(comparison, place)
        for place, name in enumerate(comparison.reports)
        if place > 0
    }
    metrics = list(comparison.values)
    if len(comparison.reports) <= 2:
        return [_table(title, metrics, {**values, **differences})]
    return [_table(title, metrics, values), _table(f"{title}: differences", metrics, differences)]


def legend(comparison: Comparison) -> list[str]:
    """Return lines that explain the tables and the limits of the comparison."""
    found = [one for row in comparison.differences.values() for one in row if one is not None]
    lines = ["Second lines: 95 % intervals (bootstrap over test items)."]
    if found:
        by_chance = 0.05 * len(found)
        lines.append("Differences of rates are in percentage points; they are paired, on the items of both reports.")
        lines.append(
            f"{MARK}: the interval of the difference excludes 0. About {by_chance:.1g} of {len(found)} do so by chance."
        )
    lacking = [name for name, row in comparison.values.items() if any(_has_no_interval(value) for value in row)]
    if lacking:
        lines.append(f"Without interval, since the reports have no values per item: {', '.join(lacking)}.")
    return [*lines, *(f"{note}." for note in comparison.notes)]


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
    return Text.assemble(readable(name, value.value), "\n", _interval(name, value.interval))


def _difference_cell(name: str, found: Difference | None) -> "Text":
    from rich.text import Text

    if found is None:
        return Text("-")
    style = _STYLES[is_improvement(name, found.difference)] if found.is_clear else ""
    mark = f" {MARK}" if found.is_clear else "  "
    return Text.assemble(
        (_signed(name, found.difference) + mark, style), "\n", _interval(name, found.interval, is_signed=True)
    )


def _interval(name: str, interval: Interval | None, *, is_signed: bool = False) -> tuple[str, str]:
    if interval is None:
        return "-", "dim"
    low, high = (_signed(name, end) if is_signed else readable(name, end) for end in interval)
    return f"{low.removesuffix(' %')} to {high.removesuffix(' %')}", "dim"


def _signed(name: str, value: float) -> str:
    # Without the percent sign: a difference of rates is in percentage points.
    text = readable(name, value).removesuffix(" %")
    return text if text.startswith("-") else f"+{text}"
