"""Confidence intervals by formula: over seeds (Student's t, Welch's for differences), and of a rate (Wilson's)."""

import math
from collections.abc import Sequence

import numpy as np

Interval = tuple[float, float]
"""Lower and upper end of a confidence interval."""

_NORMAL_QUANTILE = 1.959964
"""Of the standard normal distribution, two-sided 95 %."""

_GRID = 100_001
"""Points of the numerical integral; quantiles are exact to 5 digits from 1 degree of freedom on."""


def t_quantile(degrees: int | float, confidence: float = 0.95) -> float:
    """Return the t below whose absolute value lies the ``confidence`` fraction of Student's distribution.

    With t = sqrt(degrees) tan(angle) its density is proportional to cos(angle)^(degrees - 1), which is integrated
    numerically.
    """
    angles = np.linspace(0.0, math.pi / 2, _GRID)
    densities = np.cos(angles).clip(min=0.0) ** (degrees - 1)
    below = np.concatenate([[0.0], np.cumsum((densities[1:] + densities[:-1]) / 2)])
    return math.sqrt(degrees) * math.tan(float(np.interp(confidence, below / below[-1], angles)))


def t_interval(values: Sequence[float], within: Interval | None = None) -> Interval | None:
    """Return the 95 % interval of the mean of independent runs; None for fewer than two.

    It ends where ``within`` does, the values that the mean can have: a rate is never above 1.
    """
    if len(values) < 2:
        return None
    half_width = t_quantile(len(values) - 1) * math.sqrt(_variance_of_mean(values))
    mean = float(np.mean(values))
    least, largest = (-math.inf, math.inf) if within is None else within
    return max(least, mean - half_width), min(largest, mean + half_width)


def welch_interval(first: Sequence[float], other: Sequence[float]) -> Interval | None:
    """Return the 95 % interval of the mean of ``other`` minus that of ``first``; None unless both have two runs.

    Runs are not paired, and variances may differ (Welch, Biometrika 34, 1947).
    """
    if min(len(first), len(other)) < 2:
        return None
    variances = [_variance_of_mean(values) for values in (first, other)]
    total = sum(variances)
    difference = float(np.mean(other) - np.mean(first))
    if total == 0:
        return difference, difference
    sizes = len(first), len(other)
    degrees = total**2 / sum(variance**2 / (size - 1) for variance, size in zip(variances, sizes, strict=True))
    half_width = t_quantile(degrees) * math.sqrt(total)
    return difference - half_width, difference + half_width


def wilson_interval(rate: float, num_items: int) -> Interval:
    """Return the 95 % interval of a rate over independent items (Wilson, J. Am. Stat. Assoc. 22, 1927).

    It also holds for a mean of values between 0 and 1, where it is wider than it must be: they vary less than hits and
    misses of the same mean.
    """
    square = _NORMAL_QUANTILE**2 / num_items
    center = (rate + square / 2) / (1 + square)
    half_width = math.sqrt(square * (rate * (1 - rate) + square / 4)) / (1 + square)
    return max(0.0, center - half_width), min(1.0, center + half_width)


def _variance_of_mean(values: Sequence[float]) -> float:
    return float(np.var(values, ddof=1)) / len(values)
