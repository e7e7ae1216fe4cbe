"""Curves of a run as SVG, from the lines of its metrics.jsonl."""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

Lines = Sequence[Mapping[str, int | float | None]]
"""One mapping of values per logged step; None where a value was not finite."""

_TRAINING_COLOR, _VALIDATION_COLOR = "#9aa5c4", "#d6453d"
_INK = "#5b6478"


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """One value over the steps, in training, on held-out samples, or both."""

    title: str
    """What stands above it."""

    training: str | None = None
    """Name of the value logged in training."""

    validation: str | None = None
    """Name of the value measured on held-out samples."""

    is_share: bool = False
    """Whether it is shown in percent."""


CURVES = (
    Curve(title="ITC, contrastive loss", training="contrastive", validation="validation_contrastive"),
    Curve(title="IC, captioning loss", training="captioning", validation="validation_captioning"),
    Curve(title="TG-MIM, reconstruction loss", training="masked_image", validation="validation_masked_image"),
    Curve(title="text-to-image R@1", validation="validation_text_to_image_recall_at_1", is_share=True),
    Curve(title="mask coverage", validation="validation_mask_coverage", is_share=True),
    Curve(title="learning rate", training="lr"),
)
"""What a report shows of a run, where it was logged."""


def curves_svg(lines: Lines, curves: Sequence[Curve] = CURVES) -> str:
    """Draw all curves that have points side by side; an empty string where none has."""
    shown = [curve for curve in curves if _points(lines, curve.training) or _points(lines, curve.validation)]
    if not shown:
        return ""
    num_columns = min(3, len(shown))
    num_rows = -(-len(shown) // num_columns)
    figure = Figure(figsize=(3.6 * num_columns, 2.5 * num_rows), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.subplots(num_rows, num_columns, squeeze=False).flatten()
    for axis, curve in zip(axes, shown, strict=False):
        _draw(axis, lines, curve)
    for axis in axes[len(shown) :]:
        axis.set_axis_off()
    return _as_svg(figure)


def _draw(axis: Axes, lines: Lines, curve: Curve) -> None:
    factor = 100 if curve.is_share else 1
    for name, color, label in (
        (curve.training, _TRAINING_COLOR, "training"),
        (curve.validation, _VALIDATION_COLOR, "held out"),
    ):
        points = _points(lines, name)
        if points:
            steps, values = zip(*points, strict=True)
            marker = "o" if len(points) < 30 and label == "held out" else None
            axis.plot(steps, [factor * v for v in values], color=color, label=label, marker=marker, markersize=3)
    axis.set_title(f"{curve.title}{', %' if curve.is_share else ''}", fontsize=10, color=_INK, loc="left")
    axis.tick_params(labelsize=8, colors=_INK)
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color("#aab1c2")
    axis.set_xlabel("step", fontsize=8, color=_INK)
    if curve.training is not None and curve.validation is not None:
        axis.legend(fontsize=8, frameon=False, labelcolor=_INK)


def _points(lines: Lines, name: str | None) -> list[tuple[int | float, int | float]]:
    if name is None:
        return []
    points = ((line["step"], line.get(name)) for line in lines)
    return [(step, value) for step, value in points if step is not None and value is not None]


def _as_svg(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True)
    svg = buffer.getvalue()
    # The size comes from the page, the drawing's proportions from its viewBox.
    return re.sub(r'(<svg[^>]*?) width="[^"]*"| height="[^"]*pt"', r"\1", svg[svg.index("<svg") :], count=2)
