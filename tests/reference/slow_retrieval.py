"""Reference implementation of retrieval, one query at a time with Python lists."""

from collections.abc import Sequence


def slow_order(scores: Sequence[float], is_right: Sequence[bool]) -> list[int]:
    """Return candidates from the best score down; among equals wrong ones come first."""
    return sorted(range(len(scores)), key=lambda index: (-scores[index], is_right[index]))


def slow_rank(scores: Sequence[float], is_right: Sequence[bool]) -> int:
    """Return 1 + the number of wrong candidates before the first correct one."""
    order = slow_order(scores, is_right)
    first_right = next(place for place, index in enumerate(order) if is_right[index])
    return 1 + sum(not is_right[index] for index in order[:first_right])


def slow_re_ranked(
    scores: Sequence[float], is_right: Sequence[bool], num_first: int, other_scores: Sequence[float]
) -> int:
    """Return the rank after re-ranking only the top candidates by other scores."""
    order = slow_order(scores, is_right)
    first = sorted(order[:num_first], key=lambda index: (-other_scores[index], is_right[index]))
    order = [*first, *order[num_first:]]
    first_right = next(place for place, index in enumerate(order) if is_right[index])
    return 1 + sum(not is_right[index] for index in order[:first_right])
