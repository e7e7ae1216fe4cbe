"""CIDEr-D, which coco-caption calls CIDEr (Vedantam et al., CVPR 2015): TF-IDF similarity of n-grams."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sycoca.metrics.ngrams import LONGEST_NGRAM, Ngram

_SIGMA = 6.0
"""Standard deviation of the Gaussian length penalty."""

_SCALE = 10.0
"""CIDEr-D is the mean cosine times 10."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Vector:
    """The TF-IDF weights of a caption's n-grams."""

    weights: dict[Ngram, float]
    norms: list[float]
    length: int


def cider(candidates: Sequence[Counter[Ngram]], references: Sequence[Sequence[Counter[Ngram]]]) -> list[float]:
    """Return each image's score; the set's is their mean.

    Captions are given as n-gram counts. Document frequencies are those of these images' references, so scores of
    different sets are not comparable.
    """
    frequencies = Counter(ngram for own in references for ngram in set().union(*own))
    log_images = math.log(len(references))
    rarity = {ngram: log_images - math.log(frequency) for ngram, frequency in frequencies.items()}
    return [
        _score(_vector(candidate, rarity, log_images), [_vector(reference, rarity, log_images) for reference in own])
        for candidate, own in zip(candidates, references, strict=True)
    ]


def _vector(ngrams: Counter[Ngram], rarity: dict[Ngram, float], unseen: float) -> _Vector:
    weights = {ngram: count * rarity.get(ngram, unseen) for ngram, count in ngrams.items()}
    squares = [0.0] * LONGEST_NGRAM
    for ngram, weight in weights.items():
        squares[len(ngram) - 1] += weight * weight
    # As in coco-caption, a caption's length is its number of bigrams.
    length = sum(count for ngram, count in ngrams.items() if len(ngram) == 2)
    return _Vector(weights=weights, norms=[math.sqrt(square) for square in squares], length=length)


def _score(candidate: _Vector, references: Sequence[_Vector]) -> float:
    total = 0.0
    for reference in references:
        penalty = math.exp(-((candidate.length - reference.length) ** 2) / (2 * _SIGMA**2))
        total += penalty * sum(_clipped_cosines(candidate, reference))
    return _SCALE * total / LONGEST_NGRAM / len(references)


def _clipped_cosines(candidate: _Vector, reference: _Vector) -> list[float]:
    products = [0.0] * LONGEST_NGRAM
    for ngram, weight in candidate.weights.items():
        other = reference.weights.get(ngram)
        if other is not None:
            products[len(ngram) - 1] += min(weight, other) * other
    norms = [own * other for own, other in zip(candidate.norms, reference.norms, strict=True)]
    return [product / norm if norm else 0.0 for product, norm in zip(products, norms, strict=True)]
