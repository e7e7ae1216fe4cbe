"""Scores of image-caption pairs, by which a data set is filtered."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from rich.console import Console

from sycoca.data.samples import ImageTextSample, SampleSource
from sycoca.inference.inputs import Images
from sycoca.inference.predictor import Predictor
from sycoca.progress_bar import tracked


@dataclass(frozen=True, kw_only=True, slots=True)
class PairScore:
    """One image with one of its captions."""

    image: str
    """The sample's key."""

    caption: str

    similarity: float
    """Cosine of image and caption."""

    log_likelihood: float | None
    """Mean log-probability of the caption's tokens, natural logarithm; None where it was not computed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Threshold:
    """Minimal scores of a pair; None is no minimum."""

    similarity: float | None = None
    log_likelihood: float | None = None

    def __post_init__(self) -> None:
        if self.similarity is not None and not -1 <= self.similarity <= 1:
            raise ValueError(f"--min-similarity is a cosine between -1 and 1, got {self.similarity:g}")
        if self.log_likelihood is not None and not -math.inf < self.log_likelihood <= 0:
            raise ValueError(f"--min-log-likelihood is at most 0, got {self.log_likelihood:g}")

    def failed(self, score: PairScore) -> str | None:
        """Return the name of the first score that is too low; None for a pair that is kept."""
        if self.similarity is not None and score.similarity < self.similarity:
            return "similarity"
        if self.log_likelihood is not None and score.log_likelihood is not None:
            return "log_likelihood" if score.log_likelihood < self.log_likelihood else None
        return None


def pair_scores(
    predictor: Predictor,
    source: SampleSource,
    *,
    with_log_likelihood: bool,
    first: int = 0,
    batch_size: int = 64,
    console: Console | None = None,
) -> Iterator[tuple[ImageTextSample, list[PairScore]]]:
    """Yield every sample from index ``first`` on with the scores of its captions, batch by batch.

    Raises ValueError for the likelihood with a model without text decoder.
    """
    starts = range(first, len(source), batch_size)
    for start in tracked(starts, len(source) - first, "scoring pairs", console=console, step=batch_size):
        samples = [source[index] for index in range(start, min(start + batch_size, len(source)))]
        scores = score_samples(
            predictor, samples, samples, with_log_likelihood=with_log_likelihood, batch_size=batch_size
        )
        yield from zip(samples, scores, strict=True)


def score_samples(
    predictor: Predictor,
    samples: Sequence[ImageTextSample],
    images: Images,
    *,
    with_log_likelihood: bool,
    batch_size: int,
) -> list[list[PairScore]]:
    """Return the scores of each sample's captions; ``images`` are those of the samples, opened or to be opened."""
    captions = [sample.captions for sample in samples]
    cosines = _cosines(predictor, images, captions, batch_size)
    likelihoods = (
        [own.tolist() for own in predictor.candidate_log_likelihoods(images, captions, batch_size=batch_size)]
        if with_log_likelihood
        else [[None] * len(own) for own in captions]
    )
    return [
        [
            PairScore(image=sample.key, caption=caption, similarity=cosine, log_likelihood=likelihood)
            for caption, cosine, likelihood in zip(sample.captions, *scores, strict=True)
        ]
        for sample, *scores in zip(samples, cosines, likelihoods, strict=True)
    ]


def _cosines(
    predictor: Predictor, images: Images, captions: Sequence[Sequence[str]], batch_size: int
) -> list[list[float]]:
    flat = [caption for own in captions for caption in own]
    if not flat:
        return [[] for _ in captions]
    sizes = [len(own) for own in captions]
    embeds = predictor.embed_images(images, batch_size=batch_size).repeat_interleave(torch.tensor(sizes), dim=0)
    cosines = (embeds * predictor.embed_texts(flat, warns=False)).sum(1)
    return [own.tolist() for own in cosines.split(sizes)]


QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
"""The quantiles that are reported."""


def quantiles(scores: list[PairScore], name: str) -> dict[str, float]:
    """Return a score's quantiles over all pairs, by percent."""
    values = [getattr(score, name) for score in scores]
    return {
        f"{100 * quantile:g} %": float(value)
        for quantile, value in zip(QUANTILES, np.quantile(values, QUANTILES), strict=True)
    }
