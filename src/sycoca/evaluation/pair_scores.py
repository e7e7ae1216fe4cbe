"""How well images and their captions fit: what a data set is cleaned by."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from rich.console import Console

from sycoca.data.samples import ImageTextSample, SampleSource
from sycoca.evaluation.batches import sample_batches
from sycoca.inference.predictor import Predictor


@dataclass(frozen=True, kw_only=True, slots=True)
class PairScore:
    """One image with one of its captions."""

    image: str
    """The sample's key."""

    caption: str

    similarity: float
    """Cosine of image and caption."""

    log_likelihood: float | None
    """Mean log-probability of the caption's tokens, natural logarithm; None where it was not asked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Threshold:
    """What a pair must reach to be kept; None asks for nothing."""

    similarity: float | None = None
    log_likelihood: float | None = None

    def failed(self, score: PairScore) -> str | None:
        """Return the name of what is too low, the similarity first; None where the pair is kept."""
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
    batch_size: int = 64,
    console: Console | None = None,
) -> Iterator[tuple[ImageTextSample, list[PairScore]]]:
    """Yield every sample with the scores of its captions, batch by batch.

    Raises ValueError where the likelihood is asked of a model without text decoder.
    """
    for samples in sample_batches(source, len(source), batch_size, "scoring pairs", console=console):
        pairs = [(place, caption) for place, sample in enumerate(samples) for caption in sample.captions]
        scores: list[list[PairScore]] = [[] for _ in samples]
        if pairs:
            captions = [caption for _, caption in pairs]
            images = predictor.embed_images(samples, batch_size=batch_size)
            cosines = (images[[place for place, _ in pairs]] * predictor.embed_texts(captions)).sum(1).tolist()
            likelihoods: list[float | None] = [None] * len(pairs)
            if with_log_likelihood:
                owners = [samples[place] for place, _ in pairs]
                found = predictor.caption_log_likelihood(owners, captions, per_token=True, batch_size=batch_size)
                likelihoods = list(found.tolist())
            for (place, caption), cosine, likelihood in zip(pairs, cosines, likelihoods, strict=True):
                scores[place].append(
                    PairScore(image=samples[place].key, caption=caption, similarity=cosine, log_likelihood=likelihood)
                )
        yield from zip(samples, scores, strict=True)


QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
"""Where the spread of scores is looked at."""


def quantiles(scores: list[PairScore], name: str) -> dict[str, float]:
    """Return a score's quantiles over all pairs, by percent."""
    values = [getattr(score, name) for score in scores]
    return {
        f"{100 * share:g} %": float(value)
        for share, value in zip(QUANTILES, np.quantile(values, QUANTILES), strict=True)
    }
