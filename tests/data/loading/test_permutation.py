from collections import Counter
from itertools import permutations
from math import factorial

import numpy as np
import pytest

from sycoca.data.loading.permutation import KeyedPermutation
from sycoca.randomness import derive_key


def permuted(size: int, key: int) -> np.ndarray:
    return KeyedPermutation(size, key)(np.arange(size, dtype=np.int64))


def chi_square_excess(counts: np.ndarray, expected: float | np.ndarray) -> float:
    """Return by how many standard deviations the chi-square statistic of even counts exceeds its mean."""
    freedom = counts.size - 1
    return float((((counts - expected) ** 2 / expected).sum() - freedom) / np.sqrt(2 * freedom))


@pytest.mark.parametrize("size", [*range(1, 40), 255, 256, 257, 1000, 8191, 8192, 8193, 65_537, 100_003])
def test_each_element_has_one_position(size):
    assert np.array_equal(np.sort(permuted(size, 7)), np.arange(size))


@pytest.mark.parametrize("size", [1, 2, 3, 10, 1001, 10**9, 10**12, 2**62])
def test_position_of_is_the_inverse(size):
    permutation = KeyedPermutation(size, 11)
    positions = np.array(sorted({0, size // 3, size // 2, size - 1}))
    elements = permutation(positions)
    assert 0 <= elements.min() <= elements.max() < size
    assert [permutation.position_of(element) for element in elements.tolist()] == positions.tolist()


def test_it_is_the_same_everywhere():
    assert permuted(10, 0).tolist() == [7, 6, 0, 3, 2, 4, 5, 8, 1, 9]
    assert KeyedPermutation(10**9, 2**62)(np.arange(3, dtype=np.int64)).tolist() == [454200040, 783868359, 160332962]


def test_positions_are_computed_alike_alone_and_together():
    permutation = KeyedPermutation(50_000, 3)
    positions = np.arange(20_000, 45_000, dtype=np.int64)
    assert np.array_equal(permutation(positions)[::1000], permutation(positions[::1000]))


@pytest.mark.parametrize("size", [3, 4, 5])
def test_all_permutations_of_few_elements_are_equally_frequent(size):
    counts = Counter(tuple(permuted(size, derive_key(0, "permutation", number)).tolist()) for number in range(1200))
    observed = np.array([counts[order] for order in permutations(range(size))])
    assert abs(chi_square_excess(observed, 1200 / factorial(size))) < 4


@pytest.mark.parametrize(("size", "positions"), [(7, (0, 1)), (10, (3, 9)), (11, (8, 9))])
def test_pairs_of_positions_hold_every_pair_of_elements_equally_often(size, positions):
    counts = np.zeros((size, size))
    for number in range(12 * size * size):
        first, second = KeyedPermutation(size, derive_key(1, "pair", number))(np.array(positions))
        counts[first, second] += 1
    assert np.all(np.diag(counts) == 0)
    off_diagonal = counts[~np.eye(size, dtype=bool)]
    assert abs(chi_square_excess(off_diagonal, 12 * size * size / off_diagonal.size)) < 4


@pytest.mark.parametrize("size", [100, 5_000, 100_000])
def test_neighbors_are_not_kept_together(size):
    steps = np.concatenate([np.diff(permuted(size, key)) % size for key in range(max(2, 200_000 // size))])
    observed, possible = (np.bincount((each - 1) * 33 // (size - 1)) for each in (steps, np.arange(1, size)))
    assert abs(chi_square_excess(observed, len(steps) * possible / (size - 1))) < 4


@pytest.mark.parametrize("size", [1000, 100_000])
def test_keys_are_uncorrelated(size):
    orders = np.array([permuted(size, key) for key in range(8)])
    correlations = np.corrcoef(np.concatenate([orders, np.arange(size)[None]]))
    assert np.abs(correlations - np.eye(9)).max() < 4.5 / np.sqrt(size)
    same_places = [np.count_nonzero(orders[i] == orders[j]) for i in range(8) for j in range(i)]
    assert np.mean(same_places) < 2.5  # one is expected


def test_nothing_to_permute_is_an_error():
    with pytest.raises(ValueError, match="needs at least one element, got size 0"):
        KeyedPermutation(0, 1)
