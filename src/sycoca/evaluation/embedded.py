"""Choices about embeddings: what is embedded, and how vectors are compared. Imports no torch, so that help is fast."""

from collections.abc import Mapping
from typing import Literal

Embedded = Literal["both", "images", "texts"]

EMBEDDED: Mapping[Embedded, tuple[str, ...]] = {
    "both": ("images", "texts"),
    "images": ("images",),
    "texts": ("texts",),
}
"""The arrays of each choice."""

EmbeddingKind = Literal["embedding", "features"]
"""Embeddings in the joint space, L2-normalized; or pooled features before the projection, for linear probes."""

Similarity = Literal["cosine", "dot"]
"""Cosine similarity, or the dot product of embeddings as they are."""
