import math

import pytest

from sycoca.metrics.intervals import t_interval, t_quantile, welch_interval, wilson_interval


@pytest.mark.parametrize(
    ("degrees", "quantile"),  # a table of Student's distribution, two-sided 95 %
    [(1, 12.7062), (2, 4.3027), (3, 3.1824), (4, 2.7764), (9, 2.2622), (30, 2.0423), (1000, 1.9623)],
)
def test_quantiles_are_those_of_the_tables(degrees: float, quantile: float):
    assert t_quantile(degrees) == pytest.approx(quantile, abs=1e-4)


def test_the_interval_of_a_mean_worked_out_by_hand():
    # Mean 2, standard deviation 1, three runs.
    low, high = t_interval([1.0, 2.0, 3.0]) or (0.0, 0.0)
    assert (low, high) == pytest.approx((2 - 4.3027 / math.sqrt(3), 2 + 4.3027 / math.sqrt(3)), abs=1e-4)
    assert t_interval([1.0]) is None
    assert t_interval([2.0, 2.0]) == (2.0, 2.0)
    assert t_interval([0.98, 1.0], within=(0.0, 1.0)) == (pytest.approx(0.99 - 12.7062 * 0.01, abs=1e-6), 1.0)
    assert (t_interval([0.0, 0.02], within=(0.0, 1.0)) or (1.0, 0.0))[0] == 0.0


def test_the_interval_of_a_difference_is_welchs():
    # Equal sizes and variances: as many degrees of freedom as in the pooled test.
    low, high = welch_interval([1.0, 2.0, 3.0], [5.0, 6.0, 7.0]) or (0.0, 0.0)
    half_width = 2.7764 * math.sqrt(2 / 3)
    assert (low, high) == pytest.approx((4 - half_width, 4 + half_width), abs=1e-4)
    # One of them without spread: the degrees of freedom of the other.
    low, high = welch_interval([1.0, 1.0, 1.0, 1.0], [5.0, 6.0, 7.0]) or (0.0, 0.0)
    assert (low, high) == pytest.approx((5 - 4.3027 / math.sqrt(3), 5 + 4.3027 / math.sqrt(3)), abs=1e-4)
    assert welch_interval([1.0], [2.0, 3.0]) is None
    assert welch_interval([1.0, 1.0], [3.0, 3.0]) == (2.0, 2.0)


def test_the_interval_of_a_rate_is_wilsons():
    # Newcombe (Statistics in Medicine 17, 1998), table I: 81 of 263 and 0 of 20.
    assert wilson_interval(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson_interval(0.0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson_interval(1.0, 20) == pytest.approx((0.8389, 1.0), abs=1e-4)
