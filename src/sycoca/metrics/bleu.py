"""BLEU of a whole set of captions, as coco-caption computes it (Papineni et al., ACL 2002)."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sycoca.metrics.ngrams import LONGEST_NGRAM, Ngram

_TINY = 1e-15
_SMALL = 1e-9
"""coco-caption adds these to matches and totals: nothing divides by zero, and BLEU without a match is not quite 0."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BleuCounts:
    """What one caption, or a whole set, contributes to BLEU."""

    matches: tuple[int, ...]
    """Runs of 1, 2, 3 and 4 words that a reference has too, each at most as often as the reference that has most."""

    totals: tuple[int, ...]
    """Runs of 1, 2, 3 and 4 words."""

    length: int
    """Words of the caption."""

    reference_length: int
    """Words of the reference whose length is closest, of two the shorter."""


def bleu_counts(candidate: Counter[Ngram], references: Sequence[Counter[Ngram]]) -> BleuCounts:
    """Compare one caption with its references, all as counted runs of words."""
    largest: dict[Ngram, int] = {}
    for reference in references:
        for ngram, count in reference.items():
            if count > largest.get(ngram, 0):
                largest[ngram] = count
    matches = [0] * LONGEST_NGRAM
    for ngram, count in candidate.items():
        matches[len(ngram) - 1] += min(count, largest.get(ngram, 0))
    length = num_words(candidate)
    reference_lengths = [num_words(reference) for reference in references]
    return BleuCounts(
        matches=tuple(matches),
        totals=tuple(max(0, length - shorter) for shorter in range(LONGEST_NGRAM)),
        length=length,
        reference_length=min(reference_lengths, key=lambda other: (abs(other - length), other)),
    )


def num_words(ngrams: Counter[Ngram]) -> int:
    """Return how many words a caption has whose runs of words were counted."""
    return sum(count for ngram, count in ngrams.items() if len(ngram) == 1)


def corpus_bleu(counts: Sequence[BleuCounts]) -> list[float]:
    """Return BLEU-1 to BLEU-4 of the set: its counts are added up before anything is divided."""
    length = sum(own.length for own in counts)
    reference_length = sum(own.reference_length for own in counts)
    ratio = (length + _TINY) / (reference_length + _SMALL)
    brevity_penalty = math.exp(min(0.0, 1 - 1 / ratio))
    scores, product = [], 1.0
    for place in range(LONGEST_NGRAM):
        matches = sum(own.matches[place] for own in counts)
        totals = sum(own.totals[place] for own in counts)
        product *= (matches + _TINY) / (totals + _SMALL)
        scores.append(product ** (1 / (place + 1)) * brevity_penalty)
    return scores
