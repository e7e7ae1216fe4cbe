"""Counts of n-grams, for BLEU and CIDEr."""

from collections import Counter
from collections.abc import Sequence

LONGEST_NGRAM = 4
"""Maximum n of the n-grams in BLEU and CIDEr."""

Ngram = tuple[str, ...]


def count_ngrams(words: Sequence[str]) -> Counter[Ngram]:
    """Return the counts of all n-grams for n = 1 to 4."""
    counts: Counter[Ngram] = Counter()
    for length in range(1, LONGEST_NGRAM + 1):
        counts.update(zip(*(words[start:] for start in range(length)), strict=False))
    return counts
