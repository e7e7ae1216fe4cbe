"""Approximate search: clusters of embeddings, and how many of them a query must look into, measured."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float, Float32

from sycoca.inference.predictor import Predictor
from sycoca.search.index_facts import EMBEDDING, RecallFacts
from sycoca.search.index_table import IndexTable
from sycoca.search.writing import uninterrupted

TOP = 10
"""Hits of a query that are compared."""

WANTED_RECALL = 0.99
"""Mean recall@10 from which on no more clusters are looked into, for queries by images and by texts.

Other queries find less, since the first number that passes is taken, and queries tend to find all ten or none: the mean
of 100 has a standard error of 0.01 to 0.02.
"""

LEAST_RECALL = 0.95
"""Mean recall@10 below which the embeddings are clustered again after changes."""

NUM_QUERIES = 100
"""Queries of each kind that choose the number of clusters, fewer of phrases; as many others measure."""

_TIMED = 20
"""Queries that are timed."""

_PHRASES = tuple(
    f"{subject} {scene}"
    for subject in ("a dog", "two people", "a child", "a red car", "a bird", "a building", "food on a table", "a boat")
    for scene in (
        "in the snow",
        "at night",
        "on a beach",
        "in a city",
        "indoors",
        "in front of trees",
        "seen from above",
    )
) + tuple(
    f"{color} {shape}"
    for color in ("a red", "a blue", "a green", "a yellow", "a purple", "a black", "a white", "an orange")
    for shape in ("circle", "square", "triangle", "star", "flower", "dress", "sign", "ball", "cup")
)
"""Texts to search for where an index has no captions."""

_SAME = 1e-5
"""Cosines that differ by less are equal: copies of an image are as good as itself, and exact cosines come from NumPy,
approximate ones from LanceDB, both in float32."""


def cluster(table: IndexTable) -> int:
    """Cluster the embeddings of an index, and return the number of clusters: as many as there are images in each."""
    num_clusters = max(1, math.isqrt(table.count()))
    uninterrupted(lambda: table.cluster(num_clusters))
    return num_clusters


def measured_recall(table: IndexTable, predictor: Predictor, num_clusters: int) -> RecallFacts:
    """Choose into how many clusters a query looks, and return its recall@10 and time beside the exact search's.

    Queries are images of the index and texts: the embeddings of texts lie apart from those of images, so that clusters
    of images fit them less. Half of the queries choose the number, the others measure.
    """
    rows = table.spread(2 * NUM_QUERIES, ("key", EMBEDDING))
    images = np.array(rows[EMBEDDING].to_pylist(), dtype=np.float32)
    texts, kind = _texts(table)
    of_texts = predictor.embed_texts(texts, warns=False).numpy()
    return chosen_probes(table, images, of_texts, kind, num_clusters, keys=rows["key"].to_pylist())


def is_outdated(recall: RecallFacts) -> bool:
    """Return whether embeddings should be clustered again: too little is found, or the index has grown fourfold."""
    worst = min(recall.image_recall, recall.text_recall)
    return worst < LEAST_RECALL or math.isqrt(recall.num_images) >= 2 * recall.num_clusters


def chosen_probes(
    table: IndexTable,
    images: Float32[np.ndarray, "queries embed"],
    texts: Float32[np.ndarray, "others embed"],
    text_kind: str,
    num_clusters: int,
    keys: Sequence[str] | None = None,
) -> RecallFacts:
    """Choose and measure with the embeddings of queries; ``keys``: those of ``images`` that are in the index.

    An image of the index is no hit of itself: every search finds it, which says nothing.
    """
    of_images, of_texts = _Queries.searched(table, images, keys), _Queries.searched(table, texts)
    measured = [half for queries in (of_images, of_texts) for half in (queries.half(0), queries.half(1))]
    enough = (
        number
        for number in _growing(num_clusters)
        if min(measured[0].recall(table, number), measured[2].recall(table, number)) >= WANTED_RECALL
    )
    num_probes = next(enough, num_clusters)
    exact, approximate = (
        _median_seconds(
            lambda query, probes=probes: table.nearest(query, TOP, ("key",), num_probes=probes), images[:_TIMED]
        )
        for probes in (None, num_probes)
    )
    return RecallFacts(
        num_images=table.count(),
        num_probes=num_probes,
        num_clusters=num_clusters,
        image_recall=measured[1].recall(table, num_probes),
        text_recall=measured[3].recall(table, num_probes),
        text_kind=text_kind,
        num_queries=min(len(measured[1].embeddings), len(measured[3].embeddings)),
        exact_seconds=exact,
        approximate_seconds=approximate,
    )


@final
@dataclass(frozen=True, slots=True)
class _Queries:
    """Queries with the cosines of their best hits."""

    embeddings: Float[np.ndarray, "queries embed"]
    keys: Sequence[str | None]
    """The row that is the query itself; None where it is none."""

    best: Sequence[Sequence[float]]

    @classmethod
    def searched(
        cls, table: IndexTable, embeddings: Float[np.ndarray, "queries embed"], keys: Sequence[str] | None = None
    ) -> "_Queries":
        """Search exactly."""
        own = [None] * len(embeddings) if keys is None else keys
        return cls(embeddings, own, _best_cosines(table, embeddings, own))

    def half(self, number: int) -> "_Queries":
        """Return every second query."""
        return _Queries(self.embeddings[number::2], self.keys[number::2], self.best[number::2])

    def recall(self, table: IndexTable, num_probes: int) -> float:
        """Return the mean fraction of the best hits that an approximate search finds; 1 where there are none."""
        found = [
            sum(cosine >= best[-1] - _SAME for cosine in _cosines(table, query, key, num_probes)) / len(best)
            for query, key, best in zip(self.embeddings, self.keys, self.best, strict=True)
            if best
        ]
        return float(np.mean(found)) if found else 1.0


def _best_cosines(
    table: IndexTable, queries: Float[np.ndarray, "queries embed"], own_keys: Sequence[str | None]
) -> list[list[float]]:
    """Return the largest cosines of each query, at most `TOP`, without that of its own row: exact, in one pass."""
    best = np.full((len(queries), 0), -np.inf, dtype=np.float32)
    for rows in table.parts(("key", EMBEDDING)):
        embeddings = np.stack(rows[EMBEDDING].to_numpy())
        cosines = queries @ embeddings.T / np.linalg.norm(embeddings, axis=1)
        place_of = {key: place for place, key in enumerate(rows["key"].to_pylist())}
        own = [(query, place_of[key]) for query, key in enumerate(own_keys) if key in place_of]
        if own:
            cosines[tuple(zip(*own, strict=True))] = -np.inf
        best = np.concatenate([best, cosines], axis=1)
        if best.shape[1] > TOP:
            best = np.partition(best, -TOP, axis=1)[:, -TOP:]
    return [sorted((float(cosine) for cosine in own if cosine > -np.inf), reverse=True) for own in best]


def _cosines(
    table: IndexTable, query: Float[np.ndarray, " embed"], own_key: str | None, num_probes: int
) -> list[float]:
    """Return the largest cosines that an approximate search finds, at most `TOP`; without that of the own row."""
    rows = table.nearest(query, TOP if own_key is None else TOP + 1, ("key",), num_probes=num_probes).to_pylist()
    return sorted((1 - row["_distance"] for row in rows if row["key"] != own_key), reverse=True)[:TOP]


def _growing(most: int) -> Iterator[int]:
    """Yield 1, 2, 3, 4, 6, 8, 12, ... up to the number of clusters."""
    number = 1
    while number < most:
        yield number
        number = max(number + 1, round(number * math.sqrt(2)))
    yield most


def _texts(table: IndexTable) -> tuple[list[str], str]:
    captions = [own[0] for own in table.spread(2 * NUM_QUERIES, ("captions",))["captions"].to_pylist() if own]
    return (captions, "captions") if len(captions) >= NUM_QUERIES else (list(_PHRASES[: 2 * NUM_QUERIES]), "phrases")


def _median_seconds(search: Callable[[np.ndarray], object], queries: Float[np.ndarray, "queries embed"]) -> float:
    seconds = []
    for query in queries:
        started_at = time.perf_counter()
        search(query)
        seconds.append(time.perf_counter() - started_at)
    return float(np.median(seconds))
