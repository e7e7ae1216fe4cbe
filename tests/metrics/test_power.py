import numpy as np
import pytest

from sycoca.metrics.intervals import t_interval
from sycoca.metrics.power import power_of_paired_test, smallest_detectable_difference


@pytest.mark.parametrize(("num_pairs", "ratio"), [(3, 3.264), (5, 1.682), (10, 0.996), (16, 0.749)])
def test_ratios_are_those_of_tables_of_the_paired_t_test(num_pairs: int, ratio: float):
    assert smallest_detectable_difference(1.0, num_pairs) == pytest.approx(ratio, abs=1e-3)
    assert smallest_detectable_difference(2.5, num_pairs) == pytest.approx(2.5 * ratio, abs=3e-3)


def test_with_many_pairs_the_normal_formula_holds():
    of_level, of_power = 1.95996, 0.84162
    normal = (of_level + of_power) / 1000**0.5
    assert smallest_detectable_difference(1.0, 1000) == pytest.approx(normal, rel=2e-3)


def test_a_single_pair_detects_nothing():
    assert smallest_detectable_difference(1.0, 1) is None
    with pytest.raises(ValueError, match="at least 2 pairs"):
        power_of_paired_test(1.0, 1)


def test_without_a_difference_power_is_the_level_of_the_test():
    assert power_of_paired_test(0.0, 4) == pytest.approx(0.05, abs=1e-4)


def test_power_is_how_often_the_interval_excludes_zero():
    differences = np.random.default_rng(0).normal(1.2, 1.0, (500, 6))
    intervals = [t_interval(list(row)) or (0.0, 0.0) for row in differences]
    found = np.mean([low > 0 or high < 0 for low, high in intervals])
    # The deviation of such a share is 0.02.
    assert power_of_paired_test(1.2, 6) == pytest.approx(float(found), abs=0.05)
