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

_BLOCK = 256
"""Items that are compared pair by pair at once."""


def kendall_tau(
    first: Float[np.ndarray, " items"], other: Float[np.ndarray, " items"], weights: Float[np.ndarray, "samples items"]
) -> dict[str, Float[np.ndarray, " samples"]]:
    """Return tau-b and tau-c by suffix, for samples in which each item occurs as often as its weight says.

    Copies of one item are tied in both rankings. A tau is NaN where one of the rankings has a single level.
    """
    num_items = weights.sum(axis=1)
    num_pairs = num_items * (num_items - 1) / 2
    sizes = [_level_sizes(values, weights) for values in (first, other, _joint_levels(first, other))]
    tied = [(own * (own - 1) / 2).sum(axis=1) for own in sizes]
    surplus = _ascending_surplus(first, other, weights) - (tied[0] - tied[2])
    fewest = np.minimum(*((own > 0).sum(axis=1) for own in sizes[:2]))
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


def _ascending_surplus(
    first: Float[np.ndarray, " items"], other: Float[np.ndarray, " items"], weights: Float[np.ndarray, "samples items"]
) -> Float[np.ndarray, " samples"]:
    """Return for all samples at once how many pairs ascend in ``other`` minus how many descend, sorted by ``first``.

    Ties in ``first`` are sorted by ``other``, so that these are the concordant minus the discordant pairs and those
    tied in ``first`` alone (Knight, J. Am. Stat. Assoc. 61, 1966). They are counted block by block: within a block pair
    by pair, before it by the number at each level.
    """
    order = np.lexsort((other, first))
    levels = np.unique(other, return_inverse=True)[1][order]
    at_level = np.zeros((len(weights), int(levels.max()) + 1))
    ascending = np.zeros(len(weights))
    for start in range(0, len(order), _BLOCK):
        own, own_levels = weights[:, order[start : start + _BLOCK]], levels[start : start + _BLOCK]
        up_to = at_level.cumsum(axis=1)
        above = up_to[:, -1:] - up_to[:, own_levels]
        below = up_to[:, own_levels] - at_level[:, own_levels]
        within = own @ np.triu(np.sign(own_levels[None] - own_levels[:, None])).astype(np.float64)
        ascending += (own * (below - above + within)).sum(axis=1)
        np.add.at(at_level.T, own_levels, own.T)
    return ascending


def _joint_levels(
    first: Float[np.ndarray, " items"], other: Float[np.ndarray, " items"]
) -> Float[np.ndarray, " items"]:
    """Return numbers that are equal for items that are tied in both rankings."""
    levels = np.unique(other, return_inverse=True)[1]
    return (np.unique(first, return_inverse=True)[1] * (levels.max() + 1) + levels).astype(np.float64)


def _level_sizes(
    values: Float[np.ndarray, " items"], weights: Float[np.ndarray, "samples items"]
) -> Float[np.ndarray, "samples levels"]:
    order = values.argsort(kind="stable")
    firsts = np.unique(values[order], return_index=True)[1]
    return np.add.reduceat(weights[:, order], firsts, axis=1)
