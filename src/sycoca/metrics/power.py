"""Power of paired comparisons over seeds: the smallest difference that so many runs can be expected to show."""

import math
from functools import lru_cache

import numpy as np

from sycoca.metrics.intervals import t_quantile

POWER = 0.8
"""Probability with which a difference is to be found."""

_GRID = 2001
_BISECTIONS = 50


def smallest_detectable_difference(deviation: float, num_pairs: int, *, power: float = POWER) -> float | None:
    """Return the difference whose 95 % t interval excludes 0 with probability ``power``; None for fewer than 2 pairs.

    Args:
        deviation: standard deviation of the paired differences, of one run each.
        num_pairs: pairs of runs.
        power: that probability, between 0.05 and 1.

    The two-sided paired t test at 5 %, by the noncentral t distribution (Cohen, Statistical Power Analysis, 1988).
    """
    return None if num_pairs < 2 else deviation * _detectable_ratio(num_pairs, power)


@lru_cache
def _detectable_ratio(num_pairs: int, power: float) -> float:
    """Return the smallest detectable difference in standard deviations, by bisection."""
    low, high = 0.0, 1.0
    while power_of_paired_test(high, num_pairs) < power:
        low, high = high, 2 * high
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if power_of_paired_test(middle, num_pairs) < power else (low, middle)
    return high


def power_of_paired_test(ratio: float, num_pairs: int) -> float:
    """Return the probability that the 95 % t interval excludes 0, for a difference of ``ratio`` standard deviations.

    The t statistic is (Z + noncentrality) / S with Z normal and S the estimated over the true deviation, over whose
    distribution is integrated numerically. Raises ValueError for fewer than 2 pairs.
    """
    if num_pairs < 2:
        raise ValueError(f"power needs at least 2 pairs, got {num_pairs}")
    degrees = num_pairs - 1
    critical, noncentrality = t_quantile(degrees), ratio * math.sqrt(num_pairs)
    estimated = np.linspace(0.0, 1 + 10 / math.sqrt(2 * degrees), _GRID)[1:]
    densities = np.exp((degrees - 1) * np.log(estimated) - degrees * estimated**2 / 2)
    found = [
        1 - _normal(critical * one - noncentrality) + _normal(-critical * one - noncentrality) for one in estimated
    ]
    return float(np.sum(densities * np.array(found)) / np.sum(densities))


def _normal(value: float) -> float:
    """Return the cumulative standard normal distribution."""
    return math.erfc(-value / math.sqrt(2)) / 2
