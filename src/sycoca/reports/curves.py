"""Training and validation curves from the lines of metrics.jsonl: which there are, and their charts."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sycoca.facts.metric_facts import METRICS, TRAINING_VALUES, VALIDATION, Unit
from sycoca.facts.metric_suffixes import BASELINES, NO_CAPTION
from sycoca.facts.objective_facts import OBJECTIVES, ObjectiveName
from sycoca.facts.training_facts import TRAININGS, TrainingKind
from sycoca.reports.charts import Chart, Line, Point, chart_of

Lines = Sequence[Mapping[str, int | float | None]]
"""One mapping of values per logged step; None where a value was not finite."""

_FEWEST_TO_SMOOTH = 20
_MOST_DOTS = 40


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """A value over the steps: in training, in validation, or both."""

    title: str
    """Title of the chart."""

    training: str | None = None
    """Key of the value that training logs."""

    validation: str | None = None
    """Key of the value that validation logs."""

    baseline: str | None = None
    """Key of a baseline that validation logs beside the value, where it does."""

    is_percent: bool = False
    """Whether it is shown in percent."""

    axis: str = ""
    """Label of the axis of values; a percentage is labeled by itself."""

    is_noisy: bool = True
    """Whether long curves are smoothed."""


def curves_of(training: TrainingKind, lines: Lines) -> list[Curve]:
    """Return the curves of a kind of training: its losses, its metrics, learning rate, gradient norm and speed."""
    facts = TRAININGS[training]
    losses = [curve for name in facts.losses for curve in _loss_curves(name, lines)]
    metrics = [
        Curve(
            title=_capitalized(METRICS[key].title),
            validation=f"{VALIDATION}{key}",
            baseline=f"{VALIDATION}{key}{NO_CAPTION}",
            is_percent=METRICS[key].is_percent,
            axis=_AXES[METRICS[key].unit],
        )
        for key in facts.metrics
    ]
    steps = [
        Curve(title=_capitalized(TRAINING_VALUES[key].title), training=key, is_noisy=is_noisy, axis=axis)
        for key, (is_noisy, axis) in _OF_STEPS.items()
    ]
    return [*losses, *metrics, *steps]


def _loss_curves(name: ObjectiveName, lines: Lines) -> Iterator[Curve]:
    """Yield the curve of a loss; two where validation logs it under training's masks, too: like with like."""
    facts = OBJECTIVES[name]
    title, masked = _capitalized(facts.title), f"{VALIDATION}{facts.masked_name}"
    if not points_of(lines, masked):
        yield Curve(title=title, training=name, validation=f"{VALIDATION}{name}", axis="loss")
        return
    yield Curve(title=f"{title}, masked as in training", training=name, validation=masked, axis="loss")
    yield Curve(title=f"{title}, {facts.held_out_note}", validation=f"{VALIDATION}{name}", axis="loss")


_OF_STEPS = {
    "lr": (False, "learning rate"),
    "gradient_norm": (True, "norm before clipping"),
    "images_per_second": (True, "images per second"),
}
"""Values that every training logs, whether they are noisy, and what their axis is called."""

_AXES: Mapping[Unit, str] = {
    "percent": "rate",
    "score": "score",
    "rank": "rank",
    "count": "number",
    "seconds": "seconds",
    "number": "value",
}
"""Labels of the axes of metrics, by their unit."""


def _capitalized(title: str) -> str:
    return title[0].upper() + title[1:]


def draw_charts(lines: Lines, curves: Iterable[Curve]) -> list[Chart]:
    """Return charts of all curves that have a line; a single point is no curve."""
    found = (
        chart_of(curve.title, _lines_of(curve, lines), axis=curve.axis, is_percent=curve.is_percent) for curve in curves
    )
    return [chart for chart in found if chart is not None]


def _lines_of(curve: Curve, lines: Lines) -> list[Line]:
    training, held_out = training_line(curve, lines), held_out_line(curve, lines)
    baseline = Line(label=BASELINES[NO_CAPTION], style="no-caption", points=points_of(lines, curve.baseline))
    return [training, held_out, with_dots(baseline)]


def training_line(curve: Curve, lines: Lines, *, label: str = "training", style: str = "training") -> Line:
    """Return what training logged of a curve; a long noisy one is smoothed."""
    points = points_of(lines, curve.training)
    is_smoothed = curve.is_noisy and len(points) >= _FEWEST_TO_SMOOTH
    return Line(label=label, style=style, points=points, is_smoothed=is_smoothed)


def held_out_line(curve: Curve, lines: Lines, *, label: str = "held out", style: str = "held-out") -> Line:
    """Return what validation logged of a curve, with dots at single measurements unless there are many."""
    return with_dots(Line(label=label, style=style, points=points_of(lines, curve.validation)))


def with_dots(line: Line) -> Line:
    """Return the line with dots at its measurements, unless there are many."""
    return replace(line, has_dots=len(line.points) <= _MOST_DOTS)


def points_of(lines: Lines, name: str | None) -> list[Point]:
    """Return a value's points, in the order of the lines; steps without the value are left out."""
    if name is None:
        return []
    points = ((line["step"], line.get(name)) for line in lines)
    return [(float(step), float(value)) for step, value in points if step is not None and value is not None]
