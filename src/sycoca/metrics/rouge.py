"""ROUGE-L as coco-caption computes it: the longest common subsequence of words (Lin, 2004)."""

from collections.abc import Sequence

_BETA = 1.2
"""How much more recall counts than precision."""


def rouge_l(candidate: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Return the F-measure of a caption's best precision and best recall, which may come from different references.

    Words are given; a caption without any counts as one empty word, as in coco-caption.
    """
    common = [longest_common_subsequence(candidate, reference) for reference in references]
    precision = max(length / len(candidate) for length in common)
    recall = max(length / len(reference) for length, reference in zip(common, references, strict=True))
    if precision == 0:
        return 0.0
    return (1 + _BETA**2) * precision * recall / (recall + _BETA**2 * precision)


def longest_common_subsequence(left: Sequence[str], right: Sequence[str]) -> int:
    """Return the length of the longest sequence of words that both have in this order, with gaps.

    One bit per word of ``left`` (Hyyrö 2004): as many bits are 0 in the end as words are common.
    """
    places: dict[str, int] = {}
    for place, word in enumerate(left):
        places[word] = places.get(word, 0) | 1 << place
    all_bits = (1 << len(left)) - 1
    bits = all_bits
    for word in right:
        found = bits & places.get(word, 0)
        bits = (bits + found | bits - found) & all_bits
    return len(left) - bits.bit_count()
