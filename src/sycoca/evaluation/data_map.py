"""A map of images in two dimensions: images whose embeddings are near each other lie near each other (t-SNE)."""

from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sycoca.evaluation.fit_records import MapQuality

MAP_IMAGES = 2000
"""Images on a map, evenly spread: more points cover each other, and their thumbnails make the page slow."""

LEAST_MAP_IMAGES = 8
"""With fewer images a map shows nothing."""

NUM_NEIGHBORS = 10
"""Neighbors by which a map is judged, fewer in small sets."""

_PERPLEXITY = 30

_LEAST_SPREAD = torch.finfo(torch.float32).eps
"""Embeddings that lie nearer to their mean, in lengths of the embeddings, differ by rounding alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MapLayout:
    """Where images lie, and how far the map can be trusted."""

    points: Float[np.ndarray, "images 2"]
    """Between 0 and 1."""

    quality: MapQuality


def check_map_requirements() -> None:
    """Raise ValueError where scikit-learn is not installed."""
    if find_spec("sklearn") is None:
        raise ValueError(
            "the map of a data set needs scikit-learn: pip install 'sycoca[probe]', or leave it out: --no-map"
        )


def map_layout(image_embeds: Float[Tensor, "images embed"]) -> MapLayout | None:
    """Return where images lie, the same every time; None for fewer than `LEAST_MAP_IMAGES`, and where all embed alike.

    t-SNE (van der Maaten and Hinton, JMLR 9, 2008) keeps neighbors together; distances between groups mean nothing.
    Raises ValueError without scikit-learn.
    """
    check_map_requirements()
    number = len(image_embeds)
    if number < LEAST_MAP_IMAGES or _all_alike(image_embeds.double()):
        return None
    from sklearn.manifold import TSNE

    found = TSNE(perplexity=min(_PERPLEXITY, (number - 1) / 3), init="pca", random_state=0).fit_transform(
        image_embeds.double().numpy()
    )
    low = found.min(0)
    points = (found - low) / np.maximum(found.max(0) - low, 1e-9)
    num_neighbors = min(NUM_NEIGHBORS, number // 4)
    return MapLayout(
        points=points.astype(np.float64),
        quality=MapQuality(
            num_neighbors=num_neighbors,
            kept_neighbors=_kept(image_embeds, torch.from_numpy(points), num_neighbors),
            chance=num_neighbors / (number - 1),
        ),
    )


def _all_alike(rows: Float[Tensor, "images embed"]) -> bool:
    """Return whether there is one point only: t-SNE starts from principal components, which would be 0 / 0."""
    return float((rows - rows.mean(0)).norm()) <= _LEAST_SPREAD * float(rows.norm())


def _kept(vectors: Float[Tensor, "images embed"], points: Float[Tensor, "images 2"], number: int) -> float:
    near, near_on_map = (_neighbors(one.double(), number) for one in (vectors, points))
    shared = (near[:, :, None] == near_on_map[:, None, :]).any(2)
    return float(shared.double().mean())


def _neighbors(rows: Float[Tensor, "images columns"], number: int) -> Tensor:
    distances = torch.cdist(rows, rows)
    distances.fill_diagonal_(torch.inf)
    return distances.topk(number, largest=False).indices
