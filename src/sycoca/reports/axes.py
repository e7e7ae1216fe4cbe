"""The axis of a chart's values: where it starts, its ticks and its label."""

import math
from collections.abc import Sequence

from sycoca.facts.metric_facts import power_of_ten

_NUM_TICKS = 4

_LEAST_RANGE = 0.2
"""A curve that varies by less of its maximum is drawn on an axis that does not start at 0, and says so."""

_LEAST_EXPONENT = -4
"""Values below 10 to this power are labeled in powers of ten."""


def nice_ticks(low: float, high: float, most: int = _NUM_TICKS) -> list[float]:
    """Return round numbers, at most ``most`` + 1, from at most ``low`` to at least ``high``."""
    if high <= low:
        low, high = low - abs(low) * 0.1 - 1e-9, high + abs(high) * 0.1 + 1e-9
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    distance = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / distance + 1e-9), math.ceil(high / distance - 1e-9)
    return [number * distance for number in range(first, last + 1)]


def exponent_of(largest: float) -> int:
    """Return the power of ten in which values are labeled; 0 unless they are very small."""
    if largest == 0:
        return 0
    exponent = math.floor(math.log10(largest))
    return exponent if exponent < _LEAST_EXPONENT else 0


def axis_start(lowest: float, highest: float) -> float:
    """Return 0, so that heights can be compared, unless values are negative or would make a flat line there."""
    is_from_zero = lowest >= 0 and highest - lowest >= _LEAST_RANGE * highest
    return 0.0 if is_from_zero else lowest


def axis_label(name: str, exponent: int, start: float) -> str:
    """Return the name of an axis with its power of ten; it says where the axis does not start at 0."""
    power = f" in {power_of_ten(exponent)}" if exponent else ""
    return f"{name}{power}{'' if start == 0 else ' (axis does not start at 0)'}".strip()


def tick_label(value: float, all_values: Sequence[float]) -> str:
    """Return a tick's label with enough decimals to distinguish it from its neighbors."""
    distance = all_values[1] - all_values[0]
    decimals = max(0, -math.floor(math.log10(distance) + 1e-9))
    if round(distance, decimals) != round(distance, decimals + 1):
        decimals += 1
    return f"{value:,.{decimals}f}"
