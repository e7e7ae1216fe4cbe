"""ROUGE-L as coco-caption computes it: the longest common subsequence of words (Lin, 2004)."""

from collections.abc import Sequence

_BETA = 1.2
"""Weight of recall relative to precision in the F-measure."""


def rouge_l(candidate: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Return the F-measure of a caption's best precision and best recall, which may be from different references.

    Captions are given as words; one without words counts as one empty word, as in coco-caption.
    """
    common = [longest_common_subsequence(candidate, reference) for reference in references]
    precision = max(length / len(candidate) for length in common)
    recall = max(length / len(reference) for length, reference in zip(common, references, strict=True))
    if precision == 0:
        return 0.0
    return (1 + _BETA**2) * precision * recall / (recall + _BETA**2 * precision)


def longest_common_subsequence(left: Sequence[str], right: Sequence[str]) -> int:
    """Return the length of the longest common subsequence of words.

    Bit-parallel with one bit per word of ``left`` (Hyyrö 2004): the number of 0 bits at the end is the length.
    """
    masks: dict[str, int] = {}
    for position, word in enumerate(left):
        masks[word] = masks.get(word, 0) | 1 << position
    all_bits = (1 << len(left)) - 1
    bits = all_bits
    for word in right:
        matches = bits & masks.get(word, 0)
        bits = (bits + matches | bits - matches) & all_bits
    return len(left) - bits.bit_count()
