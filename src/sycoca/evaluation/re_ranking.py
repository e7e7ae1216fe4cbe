"""Re-ranking of the top candidates of retrieval by the log-likelihood of captions."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from rich.console import Console
from torch import Tensor

from sycoca.data.samples import ImageTextSample
from sycoca.evaluation.sharding import ALONE, Sharding
from sycoca.inference.predictor import Predictor
from sycoca.metrics.retrieval import RetrievalCandidates, RetrievalRanks, re_ranked
from sycoca.progress_bar import tracked


@dataclass(frozen=True, kw_only=True, slots=True)
class CandidateLikelihoods:
    """Log-likelihood per token of every candidate's caption given its image, natural logarithm."""

    texts_of_image: Float[Tensor, "images first_texts"]
    """As `RetrievalCandidates` has them."""

    images_of_text: Float[Tensor, "texts first_images"]
    """As `RetrievalCandidates` has them."""

    def re_ranked(
        self, ranks: RetrievalRanks, candidates: RetrievalCandidates, image_of_text: Int[Tensor, " texts"]
    ) -> RetrievalRanks:
        """Return the ranks after the candidates were sorted by these likelihoods."""
        images = torch.arange(len(candidates.texts_of_image))
        return RetrievalRanks(
            image_to_text=re_ranked(
                ranks.image_to_text,
                image_of_text[candidates.texts_of_image] == images[:, None],
                self.texts_of_image,
            ),
            text_to_image=re_ranked(
                ranks.text_to_image, candidates.images_of_text == image_of_text[:, None], self.images_of_text
            ),
        )


def candidate_likelihoods(
    predictor: Predictor,
    samples: Sequence[ImageTextSample],
    captions: Sequence[str],
    candidates: RetrievalCandidates,
    *,
    batch_size: int = 64,
    console: Console | None = None,
    sharding: Sharding = ALONE,
) -> CandidateLikelihoods:
    """Score every pair of an image and a caption of which one is a candidate of the other, each pair once.

    Every image is encoded once, with all of its pairs. Raises ValueError for a model without text decoder.
    """
    pairs, place_of_first, place_of_second = _pairs(candidates, len(captions))
    scores = _pair_scores(
        predictor, samples, captions, pairs, batch_size=batch_size, console=console, sharding=sharding
    )
    return CandidateLikelihoods(texts_of_image=scores[place_of_first], images_of_text=scores[place_of_second])


def _pairs(
    candidates: RetrievalCandidates, num_texts: int
) -> tuple[Int[Tensor, " pairs"], Int[Tensor, "images first_texts"], Int[Tensor, "texts first_images"]]:
    """Return pairs as image * num_texts + text, sorted, and each candidate's index among them."""
    num_images = len(candidates.texts_of_image)
    of_images = torch.arange(num_images)[:, None] * num_texts + candidates.texts_of_image
    of_texts = candidates.images_of_text * num_texts + torch.arange(num_texts)[:, None]
    pairs, places = torch.cat([of_images.flatten(), of_texts.flatten()]).unique(return_inverse=True)
    first, second = places.split([of_images.numel(), of_texts.numel()])
    return pairs, first.view(of_images.shape), second.view(of_texts.shape)


def _pair_scores(
    predictor: Predictor,
    samples: Sequence[ImageTextSample],
    captions: Sequence[str],
    pairs: Int[Tensor, " pairs"],
    *,
    batch_size: int,
    console: Console | None,
    sharding: Sharding,
) -> Float[Tensor, " pairs"]:
    own = sharding.own(len(samples))
    texts_of_image = (pairs % len(captions)).split(
        torch.bincount(pairs // len(captions), minlength=len(samples)).tolist()
    )
    scores: list[Tensor] = []
    starts = range(own.start, own.stop, batch_size)
    for start in tracked(starts, len(own), "re-ranking", console=console, step=batch_size):
        batch = slice(start, min(start + batch_size, own.stop))
        candidates = [[captions[int(text)] for text in texts] for texts in texts_of_image[batch]]
        scores += predictor.candidate_log_likelihoods(samples[batch], candidates, batch_size=batch_size)
    return sharding.join([score[:, None] for score in scores], 1).squeeze(1)
