"""The differences to the baseline as a figure: a panel per metric, a row per row, a line per 95 % interval."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sycoca.experiments.ablation.analysis import Analysis
from sycoca.experiments.ablation.table_text import heading, mark
from sycoca.facts.ablation_metrics import SHOWN
from sycoca.facts.metric_facts import metric_title
from sycoca.facts.metric_ranges import is_fraction
from sycoca.outputs.atomic import atomic_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLORS = {"yes": "#14763f", "no": "#b02a22", "changed": "#3451cc", "": "#555e73"}
"""Of a difference, by whether it is clearly for the better."""

_PANEL_INCHES, _ROW_INCHES, _TITLES_INCHES = 3.2, 0.32, 3.4
_PANELS_PER_LINE = 4


def save_plot(analyses: Sequence[Analysis], path: Path) -> None:
    """Write the figure as SVG, atomically; equal results give equal files."""
    # Without pyplot, which needs a display and keeps global state.
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    panels = [(one, name) for one in analyses for name in _drawn(one)]
    lines = max(1, -(-len(panels) // _PANELS_PER_LINE))
    columns = min(_PANELS_PER_LINE, max(1, len(panels)))
    height = _ROW_INCHES * max(len(one.rows) for one in analyses) + 1.0
    figure = Figure(figsize=(_TITLES_INCHES + _PANEL_INCHES * columns, height * lines), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False)
    for place, axes in enumerate(grid.flat):
        if place >= len(panels):
            axes.set_axis_off()
            continue
        analysis, name = panels[place]
        _draw(axes, analysis, name, has_titles=place % columns == 0)
    if not panels:
        grid[0, 0].text(0.5, 0.5, "no seed has results of two rows yet", ha="center", va="center")
    with rc_context({"svg.hashsalt": "ablation", "svg.fonttype": "path"}), atomic_file(path) as unfinished:
        figure.savefig(unfinished, metadata={"Date": None}, facecolor="white")


def _drawn(analysis: Analysis) -> list[str]:
    """Return the shown metrics of which there is a difference."""
    return [
        name
        for name in SHOWN
        if any((own := row.metrics.get(name)) is not None and own.difference is not None for row in analysis.rows)
    ]


def _draw(axes: "Axes", analysis: Analysis, name: str, *, has_titles: bool) -> None:
    factor, unit = (100.0, ", points") if is_fraction(name) else (1.0, "")
    for place, row in enumerate(analysis.rows):
        value = row.metrics.get(name)
        if value is None or value.difference is None:
            continue
        difference = value.difference
        color = _COLORS[mark(name, difference)]
        low, high = difference.interval or (difference.mean, difference.mean)
        axes.plot([factor * low, factor * high], [place, place], color=color, linewidth=2)
        axes.plot([factor * difference.mean], [place], "o", color=color, markersize=5)
    axes.axvline(0.0, color="#a1abc0", linewidth=1, zorder=0)
    axes.set_yticks(range(len(analysis.rows)), [row.row.title for row in analysis.rows] if has_titles else [])
    axes.set_ylim(len(analysis.rows) - 0.5, -0.5)
    axes.tick_params(labelsize=8)
    axes.set_title(f"{metric_title(name)}\n{heading(analysis)}", fontsize=8, parse_math=False)
    axes.set_xlabel(f"difference to {analysis.baseline}{unit}, 95 % interval", fontsize=8)
