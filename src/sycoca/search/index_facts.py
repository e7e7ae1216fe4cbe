"""What an image index says about itself: which weights and data made it, how it is searched, and its columns' names.

Needs no extra: queries are checked without [search].
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

FORMAT_VERSION = 1
"""Increases when indexes change in a way that older versions cannot read."""

TABLE_NAMES = ("images.lance", "facts.lance")
"""The folders in an index."""

SHOWN = ("key", "captions", "label", "split", "width", "height")
"""The columns that a hit shows, and that a condition is most useful with."""

EMBEDDING = "embedding"
THUMBNAIL = "thumbnail"

STATE = ("key", "image_state", "details", "content")
"""The columns by which a sample is recognized: what they mean says `schema`."""

EXACT_BELOW = 50_000
"""Images that are compared one by one in some ten milliseconds."""


class ReplacedIndexError(ValueError):
    """An open index that was replaced by one of other weights, whose embeddings cannot be compared."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RecallFacts:
    """How the approximate search was measured against the exact one."""

    num_images: int
    """Images in the index then."""

    num_probes: int
    """Clusters of embeddings that a query looks into."""

    num_clusters: int
    """All clusters."""

    image_recall: float
    """Mean recall@10 of queries by images of the index, each without itself."""

    text_recall: float
    """Mean recall@10 of queries by texts, whose embeddings lie apart from those of images."""

    text_kind: str
    """What those texts are: captions of the index, or phrases."""

    num_queries: int
    """Queries of each kind, or of the kind that has fewer."""

    exact_seconds: float
    """Median time of the exact search of one query."""

    approximate_seconds: float
    """Median time of the approximate search of one query."""

    @property
    def chance(self) -> float:
        """The recall of comparing as many images, chosen at random."""
        return self.num_probes / self.num_clusters


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexFacts:
    """What an image index says about itself."""

    weights: str
    """The weights that made it, as they were named; a path is absolute."""

    fingerprints: Mapping[str, str]
    """Their fingerprints by precision."""

    embed_dim: int
    """Numbers of an embedding."""

    data: str
    """The data as it was named."""

    place: str
    """The file or folder of the data, as an absolute path; the data as it was named where it is not on the disk."""

    exact_below: int = EXACT_BELOW
    """Images that a search compares one by one if they are fewer; of more, only those in the nearest clusters."""

    recall: RecallFacts | None = None
    """The approximate search; None where every search is exact."""

    format_version: int = field(default=FORMAT_VERSION)
    """Version of the format."""

    def to_json(self) -> str:
        """Return the facts as JSON."""
        return json.dumps(asdict(self), ensure_ascii=False)


def is_remote(path: str) -> bool:
    """Return whether a path is an address in an object store, such as s3://bucket/photos.lance."""
    return "://" in path


def facts_from_json(text: str, where: str) -> IndexFacts:
    """Return the facts that `IndexFacts.to_json` has written; ``where`` is the index, for errors.

    Raises ValueError where a later version of sycoca has written them, or they are damaged.
    """
    try:
        plain: Any = json.loads(text)
        version = plain["format_version"]
        if version == FORMAT_VERSION:
            recall = plain.pop("recall")
            return IndexFacts(**plain, recall=None if recall is None else RecallFacts(**recall))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{where} is damaged: {error}; --overwrite makes it again") from error
    raise ValueError(f"{where} has format version {version}, this version of sycoca reads {FORMAT_VERSION}; update it")
