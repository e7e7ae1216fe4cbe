"""Search in an image index: `sycoca.open_index`."""

import os
import time
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, final

import numpy as np
from jaxtyping import Float
from torch import Tensor

from sycoca.inference.inputs import ImageInput
from sycoca.inference.load import predictor_of
from sycoca.inference.model_options import ModelOptions
from sycoca.inference.predictor import Predictor
from sycoca.keywords import suggests_keywords
from sycoca.search.conditions import composed, num_matching
from sycoca.search.fingerprint import is_same_model
from sycoca.search.hits import SearchHit, SearchResults
from sycoca.search.index_facts import EMBEDDING, SHOWN, THUMBNAIL, IndexFacts
from sycoca.search.requirements import check_requirements
from sycoca.weights.hub import is_at_hub

if TYPE_CHECKING:
    from sycoca.search.index_table import IndexTable

Query = str | ImageInput
"""What is searched for: a text, or an image (a PIL image, a Path, bytes, an array; a str is a text)."""

_MOST_STATES = 8
"""States of an index whose files are tidied away before an error is raised."""

_TYPICAL_IMAGES = 256
"""Images whose cosines with the query are a baseline for those of the hits."""


@suggests_keywords
def open_index(
    path: str | Path,
    *,
    weights: Predictor | str | Path | None = None,
    device: str = "auto",
    model: ModelOptions | None = None,
) -> "ImageIndex":
    """Open an image index that ``sycoca index`` has written; a folder, or its address in an object store.

    ``weights``: the weights that made it, a folder or a loaded model; without them those that the index names, which
    are loaded at the first search for a text or an image. ``device`` and the other options of ``model`` are for that.
    Raises ValueError where there is no index, and where the extra [search] is not installed.
    """
    check_requirements()
    from sycoca.search.index_table import IndexTable

    table = IndexTable.open(os.fspath(path))
    if table is None:
        raise ValueError(f"there is no image index {os.fspath(path)!r}; sycoca index makes one")
    return ImageIndex(table, weights, ModelOptions(device=device) if model is None else model)


@final
class ImageIndex:
    """An image index: finds the images that fit a text or another image best. Threads may search at the same time."""

    def __init__(self, table: "IndexTable", weights: Predictor | str | Path | None, model: ModelOptions) -> None:
        self._table = table
        self._weights = weights
        self._model = model
        self._typical: tuple[object, Float[np.ndarray, "images embed"]] | None = None

    def __repr__(self) -> str:
        return f"<ImageIndex {self.path!r}: {len(self):,} images of {self.facts.data}>"

    def __len__(self) -> int:
        return self._table.count()

    @property
    def path(self) -> str:
        """Where the index is."""
        return self._table.path

    @property
    def facts(self) -> IndexFacts:
        """Which weights and data made the index, and how its approximate search was measured."""
        return self._table.facts

    @cached_property
    def predictor(self) -> Predictor:
        """The model that embeds queries; loading it raises ValueError where it is not the one that made the index."""
        predictor = predictor_of(self._weights_that_are_there(), self._model)
        self.check_weights(predictor)
        return predictor

    def check_weights(self, predictor: Predictor) -> None:
        """Raise ValueError where other weights made the index: their embeddings cannot be compared.

        The same weights in another precision are the same, but for int8.
        """
        if not is_same_model(self.facts.fingerprints, predictor):
            raise ValueError(
                f"{self.path} was made by other weights ({self.facts.weights}): embeddings of two models cannot be"
                " compared; give those weights, or make an index with these (weights in int8 count as other ones)"
            )

    @suggests_keywords
    def search(
        self, query: Query, count: int = 12, where: str | None = None, *, is_exact: bool | None = None
    ) -> SearchResults:
        """Return the images that fit a text or an image best.

        A str is a text; the path of an image is a ``Path``. ``where``, ``is_exact`` and errors as in
        `search_embedding`.
        """
        if isinstance(query, str) and not query.strip():
            raise ValueError("the query is empty; write what to search for")
        predictor = self.predictor  # loaded before the clock starts
        started_at = time.perf_counter()
        embedding = predictor.embed_texts([query])[0] if isinstance(query, str) else predictor.embed_images([query])[0]
        name = query if isinstance(query, str) else os.fspath(query) if isinstance(query, os.PathLike) else "an image"
        found = self.search_embedding(embedding, count, where, is_exact=is_exact, query=name)
        return replace(found, seconds=time.perf_counter() - started_at)

    @suggests_keywords
    def search_embedding(
        self,
        embedding: Float[Tensor, " embed"] | Float[np.ndarray, " embed"],
        count: int = 12,
        where: str | None = None,
        *,
        is_exact: bool | None = None,
        query: str = "an embedding",
    ) -> SearchResults:
        """Return the images whose embeddings have the largest cosine with one; its length does not matter.

        ``where`` is a condition on the columns in SQL, such as ``label = 'dog' AND width > 640``. With ``is_exact``
        all images are compared; by default that is done where few images match (fewer than ``facts.exact_below``), or
        the index has no clusters.
        Raises ValueError for a wrong condition, for another number of dimensions, and for a count below 1.
        """
        started_at = time.perf_counter()
        vector = self._checked(embedding, count)
        where = None if where is None else composed(where)
        found = self._found(vector, count, where, is_exact)
        return replace(found, query=query, seconds=time.perf_counter() - started_at)

    def _found(
        self, vector: Float[np.ndarray, " embed"], count: int, where: str | None, is_exact: bool | None
    ) -> SearchResults:
        """Search in one state of the index, whatever another program changes meanwhile.

        It is searched again where that program has tidied the files of this state away.
        """
        for _ in range(_MOST_STATES):
            table = self._table.snapshot()
            try:
                return self._found_in(table, vector, count, where, is_exact)
            except (ValueError, RuntimeError, OSError):  # those of LanceDB, also of a wrong condition
                if self._table.snapshot().state == table.state:
                    raise
        return self._found_in(self._table.snapshot(), vector, count, where, is_exact)

    def _found_in(
        self,
        table: "IndexTable",
        vector: Float[np.ndarray, " embed"],
        count: int,
        where: str | None,
        is_exact: bool | None,
    ) -> SearchResults:
        num_images, matching = table.count(), num_matching(table, where)
        wanted = min(count, matching)
        num_probes = _num_probes(table.facts, matching, is_exact)
        hits = _hits(table, vector, wanted, where, num_probes)
        if len(hits) < wanted:  # the clusters that were looked into have no more that match
            num_probes = None
            hits = _hits(table, vector, wanted, where, None)
        return SearchResults(
            query="an embedding",
            hits=hits,
            is_exact=num_probes is None,
            where=where,
            num_images=num_images,
            num_matching=matching,
            median_cosine=self._median_cosine(table, vector),
            seconds=0.0,
        )

    def _weights_that_are_there(self) -> Predictor | str | Path:
        if self._weights is not None:
            return self._weights
        named = self.facts.weights
        if not is_at_hub(named) and not os.path.isdir(named):
            raise ValueError(f"{self.path} was made by {named}, which is not there; name the weights")
        return named

    def _checked(
        self, embedding: Float[Tensor, " embed"] | Float[np.ndarray, " embed"], count: int
    ) -> Float[np.ndarray, " embed"]:
        """Return an embedding as LanceDB takes it."""
        if count < 1:
            raise ValueError(f"count must be at least 1, got {count}")
        values = embedding.detach().cpu().float().numpy() if isinstance(embedding, Tensor) else embedding
        vector = np.asarray(values, dtype=np.float32)
        if vector.shape != (self.facts.embed_dim,):
            raise ValueError(f"{self.path} has embeddings of {self.facts.embed_dim} numbers, got shape {vector.shape}")
        if not np.isfinite(vector).all() or not vector.any():
            raise ValueError("the embedding of the query has no direction: it is zero, infinite or not a number")
        return vector

    def _median_cosine(self, table: "IndexTable", vector: Float[np.ndarray, " embed"]) -> float | None:
        """Return the median cosine with images that are spread evenly over the index; None where it has none."""
        typical = self._typical
        if typical is None or typical[0] != table.state:
            rows = table.spread(_TYPICAL_IMAGES, (EMBEDDING,))[EMBEDDING].to_pylist()
            typical = self._typical = table.state, np.array(rows, dtype=np.float32).reshape(len(rows), len(vector))
        embeddings = typical[1]
        return float(np.median(embeddings @ (vector / np.linalg.norm(vector)))) if len(embeddings) else None


def _num_probes(facts: IndexFacts, num_matching: int, is_exact: bool | None) -> int | None:
    """Return the clusters that a search looks into; None where it compares every image."""
    compares_all = num_matching < facts.exact_below if is_exact is None else is_exact
    if facts.recall is None or compares_all or facts.recall.num_probes == facts.recall.num_clusters:
        return None
    return facts.recall.num_probes


def _hits(
    table: "IndexTable", vector: Float[np.ndarray, " embed"], count: int, where: str | None, num_probes: int | None
) -> tuple[SearchHit, ...]:
    if count == 0:
        return ()
    names = ["file", *SHOWN, THUMBNAIL]
    rows = table.nearest(vector, count, names, where=where, num_probes=num_probes).to_pylist()
    hits = (
        SearchHit(
            file=row["file"],
            cosine=1 - row["_distance"],
            columns={name: row[name] for name in SHOWN},
            thumbnail=row[THUMBNAIL],
        )
        for row in rows
    )
    return tuple(sorted(hits, key=lambda hit: (-hit.cosine, hit.file)))
