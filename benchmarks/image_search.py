"""Image search: how fast photos are indexed and found, and what the approximate search of many images misses.

    python benchmarks/image_search.py photos WEIGHTS SPEC      # indexing beside embedding alone, and warm queries
    python benchmarks/image_search.py vectors --vectors 200000 # recall@10 and time beside the exact search

Prints JSON. ``photos`` indexes and embeds the same images in turns, so that whatever else the machine does slows both.
``vectors`` draws clustered vectors, and queries of two kinds: near the centers of clusters, as images are, and moved
away from all vectors in one direction, as texts are. As a baseline for the recall it prints that of as many vectors
chosen at random as the approximate search looks at.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from sycoca.data.spec import open_source
from sycoca.inference.load import load
from sycoca.inference.model_options import ModelOptions
from sycoca.search.build import index_images
from sycoca.search.clusters import NUM_QUERIES, chosen_probes, cluster
from sycoca.search.image_index import open_index
from sycoca.search.index_facts import IndexFacts
from sycoca.search.index_table import IndexTable
from sycoca.search.requirements import check_requirements
from sycoca.search.rows import rows_of

Vectors = Float32[np.ndarray, "vectors embed"]

QUERIES = ("two dogs in snow", "a child in a red jacket", "people on a beach", "a man on a bicycle", "a football game")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    photos = commands.add_parser("photos", help="indexing beside embedding, and warm queries")
    photos.add_argument("weights", type=Path)
    photos.add_argument("data")
    photos.add_argument("--turns", type=int, default=3)
    photos.set_defaults(run=lambda given: of_photos(given.weights, given.data, given.turns))
    vectors = commands.add_parser("vectors", help="approximate against exact search")
    vectors.add_argument("--vectors", type=int, default=200_000)
    vectors.add_argument("--embed-dim", type=int, default=512)
    vectors.set_defaults(run=lambda given: of_vectors(given.vectors, given.embed_dim))
    given = parser.parse_args()
    print(json.dumps(given.run(given), indent=1))


def of_photos(weights: Path, data: str, turns: int) -> dict[str, float]:
    """Return images per second of indexing and of embedding alone, and the time of a warm query."""
    predictor, source = load(weights), open_source(data)
    samples = [source[index] for index in range(len(source))]
    indexed: list[float] = []
    embedded: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photos.lance"
        for _ in range(turns):
            embedded.append(_seconds(lambda: predictor.embed_images(samples)))
            indexed.append(_seconds(lambda: index_images(predictor, data, path, overwrite=True)))
        again = _seconds(lambda: index_images(predictor, data, path, model=ModelOptions()))
        index = open_index(path, weights=predictor)
        index.search(QUERIES[0])
        queries = [_seconds(lambda text=text: index.search(text)) for text in QUERIES * 4]
    return {
        "images": len(samples),
        "embedded_per_second": round(len(samples) / statistics.median(embedded), 2),
        "indexed_per_second": round(len(samples) / statistics.median(indexed), 2),
        "index_to_embedding_rate": round(statistics.median(embedded) / statistics.median(indexed), 3),
        "nothing_to_do_seconds": round(again, 3),
        "warm_query_milliseconds": round(1000 * statistics.median(queries), 1),
        "slowest_query_milliseconds": round(1000 * max(queries), 1),
    }


def of_vectors(num_vectors: int, embed_dim: int, num_queries: int = 2 * NUM_QUERIES) -> dict[str, object]:
    """Return recall@10 and time of the approximate search beside the exact one, by so many queries of each kind."""
    rng = np.random.default_rng(0)
    centers = _normalized(rng.standard_normal((num_vectors // 100, embed_dim)))
    images = _near(centers, num_queries, rng)
    texts = _normalized(_near(centers, num_queries, rng) + _normalized(rng.standard_normal((1, embed_dim))))
    check_requirements()
    with tempfile.TemporaryDirectory() as folder:
        facts = IndexFacts(weights="none", fingerprints={}, embed_dim=embed_dim, data="vectors", place="vectors")
        table = IndexTable.create(folder, facts)
        for first in range(0, num_vectors, 20_000):
            count = min(20_000, num_vectors - first)
            table.add(rows_of(_columns(first, count), _near(centers, count, rng), embed_dim))
        started_at = time.perf_counter()
        num_clusters = cluster(table)
        cluster_seconds = time.perf_counter() - started_at
        recall = chosen_probes(table, images, texts, "texts", num_clusters)
    return {
        "vectors": num_vectors,
        "embed_dim": embed_dim,
        "cluster_seconds": round(cluster_seconds, 1),
        **asdict(recall),
        "speedup": round(recall.exact_seconds / recall.approximate_seconds, 1),
        "recall_of_as_many_at_random": round(recall.chance, 3),
    }


def _near(centers: Vectors, count: int, rng: np.random.Generator) -> Vectors:
    """Return vectors around random centers: their cosine with it is about 0.8."""
    own = centers[rng.integers(0, len(centers), count)]
    return _normalized(own + 0.75 * _normalized(rng.standard_normal(own.shape)))


def _normalized(vectors: np.ndarray) -> Vectors:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def _columns(first: int, count: int) -> dict[str, list[object]]:
    numbers = range(first, first + count)
    return {
        "key": [str(number) for number in numbers],
        "file": [f"{number}.jpg" for number in numbers],
        "captions": [[]] * count,
        "label": [None] * count,
        "split": [None] * count,
        "width": [640] * count,
        "height": [480] * count,
        "image_state": [""] * count,
        "details": [""] * count,
        "content": list(numbers),
        "thumbnail": [b""] * count,
    }


def _seconds(work: Callable[[], object]) -> float:
    started_at = time.perf_counter()
    work()
    return time.perf_counter() - started_at


if __name__ == "__main__":
    main()
