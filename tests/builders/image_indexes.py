"""Image indexes of rows that no model has made."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sycoca.search.build import IndexResult
from sycoca.search.index_facts import IndexFacts
from sycoca.search.index_table import IndexTable
from sycoca.search.rows import rows_of


def thumbnail(color: int = 0) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), (color, color, color)).save(buffer, "JPEG")
    return buffer.getvalue()


def facts(embed_dim: int, fingerprints: Mapping[str, str] | None = None, weights: str = "none") -> IndexFacts:
    return IndexFacts(
        weights=weights, fingerprints=fingerprints or {}, embed_dim=embed_dim, data="photos", place="photos"
    )


def rows(embeddings: np.ndarray, first: int = 0, **columns: Sequence[Any]) -> Any:
    """Return rows called image-0, image-1, ... with these embeddings; ``columns`` replace those of the same name."""
    numbers = range(first, first + len(embeddings))
    names = [f"image-{number}" for number in numbers]
    given = {
        "key": names,
        "file": [f"photos/{name}.jpg" for name in names],
        "captions": [[f"caption {number}"] for number in numbers],
        "label": [None] * len(names),
        "split": [None] * len(names),
        "width": [100 + number for number in numbers],
        "height": [50] * len(names),
        "image_state": ["state"] * len(names),
        "details": ["details"] * len(names),
        "content": list(numbers),
        "thumbnail": [thumbnail()] * len(names),
    }
    return rows_of({**given, **columns}, embeddings.astype(np.float32), embeddings.shape[1])


def write_index(path: Path, embeddings: np.ndarray, **columns: Sequence[Any]) -> IndexTable:
    """Write an index of these embeddings and return its tables."""
    table = IndexTable.create(str(path), facts(embeddings.shape[1]))
    table.add(rows(embeddings, 0, **columns))
    return table


def counts(result: IndexResult) -> tuple[int, int, int, int]:
    """Return the images of an index, and those that a call has embedded, copied and removed."""
    return result.images, result.embedded, result.copied, result.removed


def directions(count: int, embed_dim: int, seed: int = 0) -> np.ndarray:
    """Return normalized embeddings."""
    values = np.random.default_rng(seed).standard_normal((count, embed_dim)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)
