"""Runs of one to four words, counted: what BLEU and CIDEr compare."""

from collections import Counter
from collections.abc import Sequence

LONGEST_NGRAM = 4
"""BLEU and CIDEr look at runs of up to so many words."""

Ngram = tuple[str, ...]


def count_ngrams(words: Sequence[str]) -> Counter[Ngram]:
    """Return how often each run of one to four words occurs."""
    counts: Counter[Ngram] = Counter()
    for length in range(1, LONGEST_NGRAM + 1):
        counts.update(zip(*(words[start:] for start in range(length)), strict=False))
    return counts
