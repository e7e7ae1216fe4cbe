"""Self-retrieval: how often a generated caption finds its own image among those that were captioned.

It measures how well captions tell images apart, and needs no references (Liu et al., arXiv 1803.08314; Kornblith et
al., arXiv 2307.16686).
"""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Int
from rich.console import Console
from torch import Tensor

from sycoca.data.samples import SampleSource
from sycoca.evaluation.embeddings import ImageEmbeddings
from sycoca.evaluation.report_parts import ReportPart
from sycoca.evaluation.retrieval import embed_captions
from sycoca.evaluation.sharding import ALONE, Sharding
from sycoca.facts.metric_suffixes import RANDOM
from sycoca.metrics.retrieval import retrieval_ranks

SELF_RETRIEVAL = "self_retrieval_recall_at_1"
"""Key of the fraction of captions whose own image is the most similar one."""

OWN_OPINION_REMARK = (
    f"{SELF_RETRIEVAL} is what the model's own encoders find in its captions; sycoca score captioning --weights asks"
    " other weights"
)


def self_retrieval_hits(
    image_embeds: Float[Tensor, "images embed"],
    caption_embeds: Float[Tensor, "captions embed"],
    image_of_caption: Int[Tensor, " captions"],
) -> list[int]:
    """Return for every caption 1 where its own image is more similar than all others, else 0: ties are misses."""
    ranks = retrieval_ranks(image_embeds, caption_embeds, image_of_caption).text_to_image
    return (ranks == 1).int().tolist()


def self_retrieval_metrics(hits: Sequence[int | float], num_images: int) -> Mapping[str, float]:
    """Return the fraction of hits, beside that of a random choice among the images."""
    return {SELF_RETRIEVAL: sum(hits) / len(hits), f"{SELF_RETRIEVAL}{RANDOM}": 1 / num_images}


def self_retrieval_part(
    embeddings: ImageEmbeddings,
    source: SampleSource,
    captions: Sequence[str],
    *,
    console: Console | None = None,
    sharding: Sharding = ALONE,
) -> ReportPart:
    """Return self-retrieval of one caption for each of the first images, by the model of the ``embeddings``."""
    images = embeddings.of(source, len(captions))
    texts = embed_captions(embeddings.predictor, captions, console=console, sharding=sharding)
    hits = self_retrieval_hits(images, texts, torch.arange(len(captions)))
    return ReportPart(
        metrics=self_retrieval_metrics(hits, len(images)),
        values={SELF_RETRIEVAL: hits},
        remarks=(*embeddings.predictor.cautions("similarities"), OWN_OPINION_REMARK),
    )
