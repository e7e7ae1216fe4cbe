"""Retrieval for embeddings of any model."""

import time
from typing import assert_never

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sycoca.evaluation.embedded import Similarity
from sycoca.evaluation.embedding_files import EmbeddedPairs
from sycoca.evaluation.remarks import retrieval_remarks
from sycoca.evaluation.report import Report
from sycoca.evaluation.retrieval import lowered_ceilings, named_metrics, retrieval_items
from sycoca.metrics.retrieval import retrieval_ranks
from sycoca.precision import at_least_float32, check_finite


def score_retrieval(pairs: EmbeddedPairs, similarity: Similarity = "cosine") -> Report:
    """Return the report of `evaluate_retrieval` for given embeddings.

    Raises ValueError for embeddings that are not finite, and for zero ones with cosine similarity.
    """
    started_at = time.perf_counter()
    images, texts = _vectors(pairs.images, similarity, "image"), _vectors(pairs.texts, similarity, "text")
    image_of_text = torch.from_numpy(pairs.image_of_text)
    ranks = retrieval_ranks(images, texts, image_of_text)
    ceilings = lowered_ceilings(images, texts, image_of_text)
    return Report(
        task="retrieval",
        metrics={**named_metrics({"": ranks}), **ceilings},
        counts={"images": len(pairs.images), "captions": len(pairs.texts)},
        settings={"data": pairs.name, "similarity": similarity},
        seconds=time.perf_counter() - started_at,
        items=retrieval_items({"": ranks}, pairs.keys, pairs.caption_keys(), pairs.image_of_text.tolist()),
        remarks=tuple(retrieval_remarks(len(pairs.images), len(pairs.texts), ceilings)),
    )


def _vectors(rows: Float[np.ndarray, "rows embed"], similarity: Similarity, what: str) -> Float[Tensor, "rows embed"]:
    vectors = at_least_float32(torch.from_numpy(rows))
    check_finite(vectors, f"{what} embedding", "; it cannot be compared, so compute it again or leave it out")
    match similarity:
        case "dot":
            return vectors
        case "cosine":
            return _normalized(vectors, what)
        case unknown:
            assert_never(unknown)


def _normalized(vectors: Float[Tensor, "rows embed"], what: str) -> Float[Tensor, "rows embed"]:
    lengths = vectors.norm(dim=1, keepdim=True)
    if not bool(lengths.isfinite().all()):  # squares of large numbers have overflowed
        vectors = vectors / vectors.abs().amax(1, keepdim=True).clamp(min=1)
        lengths = vectors.norm(dim=1, keepdim=True)
    if not bool((lengths > 0).all()):
        row = int((lengths <= 0).nonzero()[0, 0])
        raise ValueError(f"{what} embedding {row} is zero, so it has no cosine; leave it out, or give --similarity dot")
    return vectors / lengths
