"""BLEU of a whole set of captions, as coco-caption computes it (Papineni et al., ACL 2002)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from sycoca.metrics.ngrams import LONGEST_NGRAM, Ngram

_TINY = 1e-15
_SMALL = 1e-9
"""coco-caption adds these to matches and totals to avoid division by zero, so BLEU without a match is not exactly 0."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BleuCounts:
    """The n-gram counts of one caption, or of a set, that BLEU is computed from."""

    matches: tuple[int, ...]
    """Number of matching n-grams for n = 1 to 4, clipped to the maximum count in any one reference."""

    totals: tuple[int, ...]
    """Number of n-grams for n = 1 to 4."""

    length: int
    """Words of the caption."""

    reference_length: int
    """Words of the reference with the closest length; of two, the shorter."""


def bleu_counts(candidate: Counter[Ngram], references: Sequence[Counter[Ngram]]) -> BleuCounts:
    """Return the counts of one caption against its references, all given as n-gram counts."""
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
    """Return the number of words of a caption, given its n-gram counts."""
    return sum(count for ngram, count in ngrams.items() if len(ngram) == 1)


def bleu_columns(counts: Sequence[BleuCounts]) -> dict[str, list[int]]:
    """Return the counts of several captions by name: ``bleu_matches_1`` to ``_4``, ``bleu_total_1`` and so on."""
    columns: dict[str, list[int]] = {}
    for i in range(LONGEST_NGRAM):
        columns[f"bleu_matches_{i + 1}"] = [own.matches[i] for own in counts]
        columns[f"bleu_total_{i + 1}"] = [own.totals[i] for own in counts]
    columns["bleu_length"] = [own.length for own in counts]
    columns["bleu_reference_length"] = [own.reference_length for own in counts]
    return columns


def corpus_bleu(sums: Mapping[str, Float[np.ndarray, " sets"]]) -> dict[str, Float[np.ndarray, " sets"]]:
    """Return ``bleu_1`` to ``bleu_4`` of sets of captions, from the summed counts (`bleu_columns`) of each set."""
    ratio = (sums["bleu_length"] + _TINY) / (sums["bleu_reference_length"] + _SMALL)
    brevity_penalty = np.exp(np.minimum(0.0, 1 - 1 / ratio))
    scores, product = {}, np.ones_like(ratio)
    for longest in range(1, LONGEST_NGRAM + 1):
        precision = (sums[f"bleu_matches_{longest}"] + _TINY) / (sums[f"bleu_total_{longest}"] + _SMALL)
        product = product * precision
        scores[f"bleu_{longest}"] = product ** (1 / longest) * brevity_penalty
    return scores
