from itertools import combinations

import numpy as np
import pytest

from sycoca.metrics.rank_correlation import TAU_B, TAU_C, kendall_tau
from sycoca.metrics.resampling import metrics_of_items


def tau(first: list[float], other: list[float]) -> tuple[float, float]:
    found = kendall_tau(np.array(first, dtype=float), np.array(other, dtype=float), np.ones((1, len(first))))
    return float(found[TAU_B][0]), float(found[TAU_C][0])


def test_rankings_without_ties_have_one_tau():
    # Of six pairs five agree and one does not: (5 - 1) / 6.
    assert tau([1, 2, 3, 4], [1, 2, 4, 3]) == pytest.approx((4 / 6, 4 / 6))
    assert tau([1, 2, 3], [3, 2, 1]) == pytest.approx((-1, -1))


def test_ties_are_divided_out_in_tau_b_and_levels_in_tau_c():
    # Pairs: (1, 2) tied in first; (3, 4) tied in other; the other four agree. b: 4 / sqrt(5 * 5).
    # c: 2 * 4 * m / (4^2 (m - 1)) with m = 3 levels in both.
    assert tau([1, 1, 2, 3], [1, 2, 3, 3]) == pytest.approx((4 / 5, 8 * 3 / (16 * 2)))
    # Two levels of people against four of the metric: four agreeing pairs. b: 4 / sqrt(6 * 4). c: m = 2.
    assert tau([0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1]) == pytest.approx((4 / 24**0.5, 8 * 2 / 16))


def test_a_ranking_of_one_level_has_no_tau():
    assert np.isnan(tau([1, 1, 1], [1, 2, 3])).all()


def brute_force_surplus(first: np.ndarray, other: np.ndarray) -> float:
    return sum(
        float(np.sign(first[i] - first[j]) * np.sign(other[i] - other[j]))
        for i, j in combinations(range(len(first)), 2)
    )


def test_weights_count_as_repeated_items():
    rng = np.random.default_rng(0)
    first, other = rng.integers(0, 6, 30).astype(float), rng.integers(0, 4, 30).astype(float)
    weights = rng.integers(0, 3, (5, 30)).astype(float)
    found = kendall_tau(first, other, weights)
    for row, counts in enumerate(weights.astype(int)):
        x, y = first.repeat(counts), other.repeat(counts)
        pairs = len(x) * (len(x) - 1) / 2
        tied = [sum(a == b for a, b in combinations(values, 2)) for values in (x, y)]
        surplus = brute_force_surplus(x, y)
        assert found[TAU_B][row] == pytest.approx(surplus / np.sqrt((pairs - tied[0]) * (pairs - tied[1])))
        levels = min(len(set(x)), len(set(y)))
        assert found[TAU_C][row] == pytest.approx(2 * surplus * levels / (len(x) ** 2 * (levels - 1)))


def test_taus_are_those_of_scipy():
    stats = pytest.importorskip("scipy.stats", reason="comes with scikit-learn")
    rng = np.random.default_rng(1)
    for _ in range(5):
        human = rng.integers(1, 5, 700).astype(float)
        metric = np.round(human + rng.normal(0, 2, 700), 1)
        b, c = tau(metric.tolist(), human.tolist())
        assert b == pytest.approx(stats.kendalltau(metric, human, variant="b").statistic)
        assert c == pytest.approx(stats.kendalltau(metric, human, variant="c").statistic)


def test_metrics_of_judgments_follow_from_the_items():
    values = {"human_score": np.array([1.0, 2.0, 4.0]), "judged_cider": np.array([0.1, 0.9, 0.5])}
    found = metrics_of_items(values, np.ones((1, 3)))
    # Two of three pairs agree.
    assert found["cider_kendall_tau_b"].tolist() == pytest.approx([1 / 3])
    assert "human_score_kendall_tau_b" not in found
