"""Charts of lines over the steps: as SVG for paper and pages without scripts, and as data for the page's script."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from sycoca.facts.metric_facts import plain_number
from sycoca.reports.axes import axis_label, axis_start, exponent_of, nice_ticks, tick_label

Point = tuple[float, float]
"""Step and value."""

WIDTH, HEIGHT = 320, 150
"""Size of a chart's plot area, in SVG units."""

_SMOOTHING = 0.7
_DIGITS = 6
"""Significant digits of a value in the data of the page's script."""

_NOTHING = 1e-4
"""A value below this fraction of the largest one is written as 0, such as the last learning rate of a schedule."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A line to draw; lines of one label are of several seeds, and their mean is written."""

    label: str
    """Its name in the key of the chart."""

    style: str
    """Class of the style sheet, which gives its color."""

    points: Sequence[Point]
    """Steps and values, in the order of the steps."""

    is_smoothed: bool = False
    """Whether a moving average is drawn, with the values behind it."""

    has_dots: bool = False
    """Whether single measurements are marked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tick:
    """A mark on an axis."""

    position: float
    """Position in SVG units."""

    label: str
    """Text of the tick."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """One line of a chart, as it is drawn."""

    label: str
    """Its name in the key of the chart."""

    style: str
    """Class of the style sheet, which gives its color."""

    path: str
    """The line, as an SVG path."""

    raw_path: str
    """The line before smoothing; empty where it is not smoothed."""

    dots: tuple[tuple[float, float, str], ...]
    """Positions and labels of single measurements; empty where there are many."""

    last: str
    """The last value, formatted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """An entry of a chart's key."""

    label: str
    """Name of the lines."""

    style: str
    """Class of the style sheet, which gives their color."""

    last: str
    """Their last value, formatted; the mean of several lines."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """The chart of one quantity."""

    title: str
    """Title of the chart."""

    series: tuple[Series, ...]
    """The chart's lines."""

    keys: tuple[Key, ...]
    """The names of its lines, each once."""

    x_ticks: tuple[Tick, ...]
    """Ticks of the axis of steps."""

    y_ticks: tuple[Tick, ...]
    """Ticks of the axis of values."""

    x_label: str
    """Label of the axis of steps."""

    y_label: str
    """Label of the axis of values; it says where the axis does not start at 0."""

    data: Mapping[str, object]
    """What the page's script draws: plain data, in the units of the axis."""

    @property
    def description(self) -> str:
        """Text alternative of the chart."""
        return f"{self.title}: " + ", ".join(f"{key.label} {key.last} at the end" for key in self.keys)


def chart_of(title: str, lines: Sequence[Line], *, axis: str, is_percent: bool) -> Chart | None:
    """Return the chart of the lines that have points; None where no line has two, for a single point is no curve.

    ``axis`` names the values; rates, which are 0 to 1, are drawn in percent.
    """
    shown = [line for line in lines if line.points]
    if not any(len(line.points) > 1 for line in shown):
        return None
    largest = max(abs(value) for line in shown for _, value in line.points)
    exponent = 0 if is_percent else exponent_of(largest)
    unit = _Unit(100.0 if is_percent else 10.0**-exponent, largest, " %" if is_percent else "")
    scaled = [[(step, unit.factor * value) for step, value in line.points] for line in shown]
    smooth = [smoothed(own) if line.is_smoothed else own for line, own in zip(shown, scaled, strict=True)]
    values = [value for own in smooth for _, value in own]
    start = 0.0 if is_percent else axis_start(min(values), max(values))
    y_values = nice_ticks(start, max(values) if largest else 1.0)
    steps = [step for own in scaled for step, _ in own]
    last_step, first_step = max(steps), min(0.0, *steps)
    scale = _Scale(first_step, max(last_step, first_step + 1), y_values[0], y_values[-1])
    drawn = list(zip(shown, scaled, smooth, strict=True))
    return Chart(
        title=title,
        series=tuple(_series(line, own, mean, scale, unit) for line, own, mean in drawn),
        keys=_keys(shown, smooth, unit),
        x_ticks=tuple(
            Tick(position=scale.x(step), label=f"{step:,.0f}")
            for step in nice_ticks(first_step, last_step)
            if step <= last_step and step == round(step)
        ),
        y_ticks=tuple(
            Tick(position=scale.y(value), label=tick_label(value, y_values) + unit.sign) for value in y_values
        ),
        x_label="steps",
        y_label=axis_label(axis, exponent, y_values[0]),
        data={
            "axis": axis_label(axis, exponent, 0.0),
            "factor": unit.factor,
            "largest": largest,
            "sign": unit.sign,
            "range": {"x": [scale.left, scale.right], "y": [scale.bottom, scale.top]},
            **_columns(drawn),
        },
    )


def smoothed(points: Sequence[Point]) -> list[Point]:
    """Return the exponential moving average with bias correction."""
    mean, weight, result = 0.0, 0.0, []
    for step, value in points:
        mean = _SMOOTHING * mean + (1 - _SMOOTHING) * value
        weight = _SMOOTHING * weight + (1 - _SMOOTHING)
        result.append((step, mean / weight))
    return result


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
class _Unit:
    """How the values of a chart are scaled and written."""

    factor: float
    largest: float
    sign: str

    def text(self, value: float) -> str:
        """Return a drawn value as it was logged; "0" where it is nothing beside the largest one."""
        logged = value / (1.0 if self.sign else self.factor)
        return f"{_number(logged) if abs(logged) >= _NOTHING * self.largest else '0'}{self.sign}"


def _series(line: Line, points: list[Point], smooth: list[Point], scale: _Scale, unit: _Unit) -> Series:
    has_dots = line.has_dots or len(points) == 1
    dots = tuple(
        (scale.x(step), scale.y(value), f"step {step:,.0f}: {unit.text(value)}")
        for step, value in (points if has_dots else ())
    )
    return Series(
        label=line.label,
        style=line.style,
        path=scale.path(smooth),
        raw_path=scale.path(points) if line.is_smoothed else "",
        dots=dots,
        last=unit.text(smooth[-1][1]),
    )


def _keys(lines: Sequence[Line], smooth: Sequence[list[Point]], unit: _Unit) -> tuple[Key, ...]:
    last: dict[tuple[str, str], list[float]] = {}
    for line, points in zip(lines, smooth, strict=True):
        last.setdefault((line.label, line.style), []).append(points[-1][1])
    return tuple(
        Key(label=label, style=style, last=unit.text(sum(own) / len(own))) for (label, style), own in last.items()
    )


def _columns(drawn: Sequence[tuple[Line, list[Point], list[Point]]]) -> dict[str, object]:
    """Return the steps of all lines, and for every line a value or null per step."""
    steps = sorted(set(chain.from_iterable((step for step, _ in points) for _, points, _ in drawn)))
    series = [
        {
            "label": line.label,
            "style": line.style,
            "has_dots": line.has_dots or len(points) == 1,
            "values": _column(steps, smooth),
            "raw": _column(steps, points) if line.is_smoothed else None,
        }
        for line, points, smooth in drawn
    ]
    return {"steps": steps, "series": series}


def _column(steps: Sequence[float], points: Sequence[Point]) -> list[float | None]:
    value_of = dict(points)
    return [float(f"{value_of[step]:.{_DIGITS}g}") if step in value_of else None for step in steps]


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else plain_number(value)
