"""Kendall's rank correlation of a metric with human judgments, exact and with ties (Kendall, Biometrika 33, 1945)."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

HUMAN_SCORE = "human_score"
"""The value of each judged caption that people gave."""

JUDGED = "judged_"
"""Prefix of the values that a metric gave the judged captions."""

TAU_B = "_kendall_tau_b"
"""Suffix of the metric whose ties in either ranking are divided out."""

TAU_C = "_kendall_tau_c"
"""Suffix of the metric that allows for fewer levels in one ranking than in the other (Stuart, Biometrika 40, 1953)."""


def kendall_tau(
    first: Float[np.ndarray, " items"], other: Float[np.ndarray, " items"], weights: Float[np.ndarray, "samples items"]
) -> dict[str, Float[np.ndarray, " samples"]]:
    """Return tau-b and tau-c by suffix, for samples in which each item occurs as often as its weight says.

    Copies of one item are tied in both rankings. A tau is NaN where one of the rankings has a single level.
    """
    num_items = weights.sum(axis=1)
    num_pairs = num_items * (num_items - 1) / 2
    tied = [_tied_pairs(values, weights) for values in (first, other)]
    levels = [_num_levels(values, weights) for values in (first, other)]
    surplus = _concordant_surplus(first, other, weights)
    fewest = np.minimum(*levels)
    # A ranking of one level orders no pair: 0 / 0.
    with np.errstate(invalid="ignore", divide="ignore"):
        tau_b = surplus / np.sqrt((num_pairs - tied[0]) * (num_pairs - tied[1]))
        tau_c = 2 * surplus * fewest / (num_items**2 * (fewest - 1))
    return {TAU_B: tau_b, TAU_C: tau_c}


def judged_correlations(
    values: Mapping[str, Float[np.ndarray, " items"]], weights: Float[np.ndarray, "samples items"]
) -> dict[str, Float[np.ndarray, " samples"]]:
    """Return METRIC_kendall_tau_b and _c for the values judged_METRIC of judged captions; nothing without judgments."""
    if HUMAN_SCORE not in values:
        return {}
    return {
        f"{name.removeprefix(JUDGED)}{suffix}": tau
        for name, column in values.items()
        if name.startswith(JUDGED)
        for suffix, tau in kendall_tau(column, values[HUMAN_SCORE], weights).items()
    }


def _concordant_surplus(
    first: Float[np.ndarray, " items"], other: Float[np.ndarray, " items"], weights: Float[np.ndarray, "samples items"]
) -> Float[np.ndarray, " samples"]:
    """Return the number of concordant pairs minus that of discordant ones.

    Items enter in ascending order of ``first``; a Fenwick tree holds how many have entered at each level of ``other``,
    for all samples at once, so that the cost is items times the logarithm of the levels.
    """
    level_of_item = np.unique(other, return_inverse=True)[1]
    tree = np.zeros((int(level_of_item.max()) + 2, len(weights)))
    entered = np.zeros(len(weights))
    surplus = np.zeros(len(weights))
    for tied in _groups_of_ties(first):
        for item in tied:
            level = int(level_of_item[item])
            below, up_to = _entered_up_to(tree, level), _entered_up_to(tree, level + 1)
            surplus += weights[:, item] * (below - (entered - up_to))
        for item in tied:
            _enter(tree, int(level_of_item[item]), weights[:, item])
            entered += weights[:, item]
    return surplus


def _groups_of_ties(values: Float[np.ndarray, " items"]) -> list[np.ndarray]:
    order = values.argsort(kind="stable")
    return np.split(order, np.flatnonzero(np.diff(values[order])) + 1)


def _entered_up_to(tree: Float[np.ndarray, "nodes samples"], num_levels: int) -> Float[np.ndarray, " samples"]:
    """Return how many items have entered at the lowest levels."""
    total = np.zeros(tree.shape[1])
    while num_levels > 0:
        total += tree[num_levels]
        num_levels -= num_levels & -num_levels
    return total


def _enter(tree: Float[np.ndarray, "nodes samples"], level: int, counts: Float[np.ndarray, " samples"]) -> None:
    node = level + 1
    while node < len(tree):
        tree[node] += counts
        node += node & -node


def _tied_pairs(
    values: Float[np.ndarray, " items"], weights: Float[np.ndarray, "samples items"]
) -> Float[np.ndarray, " samples"]:
    sizes = _level_sizes(values, weights)
    return (sizes * (sizes - 1) / 2).sum(axis=1)


def _num_levels(
    values: Float[np.ndarray, " items"], weights: Float[np.ndarray, "samples items"]
) -> Float[np.ndarray, " samples"]:
    return (_level_sizes(values, weights) > 0).sum(axis=1).astype(np.float64)


def _level_sizes(
    values: Float[np.ndarray, " items"], weights: Float[np.ndarray, "samples items"]
) -> Float[np.ndarray, "samples levels"]:
    order = values.argsort(kind="stable")
    firsts = np.unique(values[order], return_index=True)[1]
    return np.add.reduceat(weights[:, order], firsts, axis=1)
