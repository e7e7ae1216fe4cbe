"""Training and validation curves as charts, from the lines of metrics.jsonl."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sycoca.facts.metric_facts import (
    BASELINES,
    METRICS,
    NO_CAPTION,
    TRAINING_VALUES,
    VALIDATION,
    Unit,
    plain_number,
)
from sycoca.facts.objective_facts import OBJECTIVES, ObjectiveName
from sycoca.facts.training_facts import TRAININGS, TrainingKind
from sycoca.reports.axes import axis_label, axis_start, exponent_of, nice_ticks, tick_label

Lines = Sequence[Mapping[str, int | float | None]]
"""One mapping of values per logged step; None where a value was not finite."""

Point = tuple[float, float]
"""Step and value."""

WIDTH, HEIGHT = 320, 150
"""Size of a chart's plot area, in SVG units."""

_SMOOTHING = 0.7
_FEWEST_TO_SMOOTH = 20
_MOST_DOTS = 40

_NOTHING = 1e-4
"""A value below this fraction of the largest one is written as 0, such as the last learning rate of a schedule."""


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Tick:
    """A mark on an axis."""

    position: float
    """Position in SVG units."""

    label: str
    """Text of the tick."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """One line of a chart."""

    kind: str
    """training, held out or the name of a baseline, which determines its color."""

    path: str
    """The line, as an SVG path."""

    raw_path: str
    """The line before smoothing; empty where it is not smoothed."""

    dots: tuple[tuple[float, float, str], ...]
    """Positions and labels of single measurements; empty where there are many."""

    last: str
    """The last value, formatted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """The chart of one curve."""

    title: str
    """Title of the chart."""

    series: tuple[Series, ...]
    """The chart's lines."""

    x_ticks: tuple[Tick, ...]
    """Ticks of the axis of steps."""

    y_ticks: tuple[Tick, ...]
    """Ticks of the axis of values."""

    x_label: str
    """Label of the axis of steps."""

    y_label: str
    """Label of the axis of values; it says where the axis does not start at 0."""

    @property
    def description(self) -> str:
        """Text alternative of the chart."""
        return f"{self.title}: " + ", ".join(f"{series.kind} {series.last} at the end" for series in self.series)


def draw_charts(lines: Lines, curves: Iterable[Curve]) -> list[Chart]:
    """Return charts of all curves that have a line; a single point is no curve."""
    charts = []
    for curve in curves:
        of_kind = {
            "training": points_of(lines, curve.training),
            "held out": points_of(lines, curve.validation),
            BASELINES[NO_CAPTION]: points_of(lines, curve.baseline),
        }
        shown = {kind: points for kind, points in of_kind.items() if points}
        if any(len(points) > 1 for points in shown.values()):
            charts.append(_chart(curve, shown))
    return charts


def points_of(lines: Lines, name: str | None) -> list[Point]:
    """Return a value's points, in the order of the lines; steps without the value are left out."""
    if name is None:
        return []
    points = ((line["step"], line.get(name)) for line in lines)
    return [(float(step), float(value)) for step, value in points if step is not None and value is not None]


def smoothed(points: Sequence[Point]) -> list[Point]:
    """Return the exponential moving average with bias correction."""
    mean, weight, result = 0.0, 0.0, []
    for step, value in points:
        mean = _SMOOTHING * mean + (1 - _SMOOTHING) * value
        weight = _SMOOTHING * weight + (1 - _SMOOTHING)
        result.append((step, mean / weight))
    return result


def _chart(curve: Curve, shown: Mapping[str, list[Point]]) -> Chart:
    largest = max(abs(value) for points in shown.values() for _, value in points)
    exponent = 0 if curve.is_percent else exponent_of(largest)
    factor = 100.0 if curve.is_percent else 10.0**-exponent
    scaled = {kind: [(step, factor * value) for step, value in points] for kind, points in shown.items()}
    smooth = {kind: _smooth(curve, kind, points) for kind, points in scaled.items()}
    values = [value for points in smooth.values() for _, value in points]
    start = 0.0 if curve.is_percent else axis_start(min(values), max(values))
    y_values = nice_ticks(start, max(values) if largest else 1.0)
    last_step = max(step for points in scaled.values() for step, _ in points)
    first_step = min(0.0, *(step for points in scaled.values() for step, _ in points))
    scale = _Scale(first_step, max(last_step, first_step + 1), y_values[0], y_values[-1])
    unit = " %" if curve.is_percent else ""
    return Chart(
        title=curve.title,
        series=tuple(
            _series(kind, scaled[kind], smooth[kind], scale, _Values(factor, largest, unit)) for kind in scaled
        ),
        x_ticks=tuple(
            Tick(position=scale.x(step), label=f"{step:,.0f}")
            for step in nice_ticks(first_step, last_step)
            if step <= last_step and step == round(step)
        ),
        y_ticks=tuple(Tick(position=scale.y(value), label=tick_label(value, y_values) + unit) for value in y_values),
        x_label="steps",
        y_label=axis_label(curve.axis, exponent, y_values[0]),
    )


def _smooth(curve: Curve, kind: str, points: list[Point]) -> list[Point]:
    is_smoothed = curve.is_noisy and kind == "training" and len(points) >= _FEWEST_TO_SMOOTH
    return smoothed(points) if is_smoothed else points


@dataclass(frozen=True, slots=True)
class _Scale:
    """The map from steps and values to SVG positions."""

    left: float
    right: float
    bottom: float
    top: float

    def x(self, step: float) -> float:
        return round((step - self.left) / (self.right - self.left) * WIDTH, 1)

    def y(self, value: float) -> float:
        return round((1 - (value - self.bottom) / (self.top - self.bottom)) * HEIGHT, 1)

    def path(self, points: Sequence[Point]) -> str:
        return "M" + "L".join(f"{self.x(step):g},{self.y(value):g}" for step, value in points)


@dataclass(frozen=True, slots=True)
class _Values:
    """How the values of a curve are written."""

    factor: float
    largest: float
    unit: str

    def text(self, value: float) -> str:
        """Return a drawn value as it was logged; "0" where it is nothing beside the largest one."""
        logged = value / (1.0 if self.unit else self.factor)
        return f"{_number(logged) if abs(logged) >= _NOTHING * self.largest else '0'}{self.unit}"


def _series(kind: str, points: list[Point], smooth: list[Point], scale: _Scale, values: _Values) -> Series:
    has_dots = (kind != "training" and len(points) <= _MOST_DOTS) or len(points) == 1
    dots = tuple(
        (scale.x(step), scale.y(value), f"step {step:,.0f}: {values.text(value)}")
        for step, value in (points if has_dots else ())
    )
    return Series(
        kind=kind,
        path=scale.path(smooth),
        raw_path=scale.path(points) if smooth is not points else "",
        dots=dots,
        last=values.text(smooth[-1][1]),
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else plain_number(value)
