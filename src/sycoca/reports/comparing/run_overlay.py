"""Curves of several runs in the same charts, a color per row."""

from collections.abc import Callable, Mapping, Sequence

from sycoca.facts.training_facts import TRAININGS
from sycoca.reports.charts import Chart, Line, chart_of
from sycoca.reports.curves import Curve, Lines, curves_of, held_out_line, training_line

NUM_STYLES = 8
"""Colors of the style sheet; more rows share them."""


def row_style(number: int) -> str:
    """Return the class of the style sheet for row ``number``, from 0."""
    return f"run-{number % NUM_STYLES + 1}"


def overlaid_charts(rows: Mapping[str, Sequence[Lines]]) -> list[Chart]:
    """Return a chart per logged value, with a line for every run; rows are given by name, with a run per seed."""
    curves = _curves([lines for runs in rows.values() for lines in runs])
    charts = [_chart(title, curve, line_of, rows) for title, curve, line_of in curves]
    return [chart for chart in charts if chart is not None]


_LineOf = Callable[..., Line]


def _curves(runs: Sequence[Lines]) -> list[tuple[str, Curve, _LineOf]]:
    """Return the curves of any kind of training, those of training and of validation apart, each value once."""
    found: dict[str, tuple[str, Curve, _LineOf]] = {}
    for curve in (curve for lines in runs for kind in TRAININGS for curve in curves_of(kind, lines)):
        is_both = curve.training is not None and curve.validation is not None
        if curve.training is not None:
            found.setdefault(
                curve.training, (f"{curve.title}: training" if is_both else curve.title, curve, training_line)
            )
        if curve.validation is not None:
            title = f"{curve.title}: held out" if is_both else curve.title
            found.setdefault(curve.validation, (title, curve, held_out_line))
    return list(found.values())


def _chart(title: str, curve: Curve, line_of: _LineOf, rows: Mapping[str, Sequence[Lines]]) -> Chart | None:
    lines = [
        line_of(curve, run, label=name, style=row_style(number))
        for number, (name, runs) in enumerate(rows.items())
        for run in runs
    ]
    return chart_of(title, lines, axis=curve.axis, is_percent=curve.is_percent)
