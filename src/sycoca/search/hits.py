"""Results of a search."""

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import final

_SHOWN_PIXELS = 160
"""Side of a thumbnail in the cell of a notebook."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class SearchHit:
    """An image that was found."""

    file: str
    """The path that opens the image from the directory in which it was indexed; its key where it is no file."""

    cosine: float
    """Cosine similarity of its embedding and the query's, -1 to 1."""

    columns: Mapping[str, object]
    """What the index knows about it: key, captions, label, split, and width and height in pixels."""

    thumbnail: bytes
    """A JPEG of at most 256 pixels a side."""

    def __repr__(self) -> str:
        return f"<SearchHit {self.file!r}: cosine {self.cosine:.3f}>"

    @property
    def text(self) -> str:
        """The first caption, or the label where there is none; empty without both."""
        captions, label = self.columns.get("captions"), self.columns.get("label")
        if isinstance(captions, list) and captions:
            return str(captions[0])
        return "" if label is None else str(label)

    def thumbnail_uri(self) -> str:
        """Return the thumbnail as a data URI."""
        return f"data:image/jpeg;base64,{base64.b64encode(self.thumbnail).decode()}"


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class SearchResults:
    """The hits of a query, the most similar first."""

    query: str
    """The text, or the name of the image, that was searched for."""

    hits: tuple[SearchHit, ...]
    """The images; those of equal cosines in the order of their names."""

    is_exact: bool
    """Whether every image was compared; an approximate search may miss some (see `IndexFacts.recall`)."""

    where: str | None = None
    """The condition that all hits fulfill, where one was given."""

    num_images: int
    """Images in the index."""

    num_matching: int
    """Images that fulfill the condition; all without one."""

    median_cosine: float | None = None
    """Median cosine of the query with 256 images that are spread evenly over the index: what an image scores that the
    query does not describe. None where the index has no images."""

    seconds: float
    """Time of the search, the query's embedding included, without the loading of the model."""

    def __len__(self) -> int:
        return len(self.hits)

    def __iter__(self) -> Iterator[SearchHit]:
        return iter(self.hits)

    def __repr__(self) -> str:
        return f"<SearchResults of {self.query!r}: {len(self.hits)} of {self.num_matching:,} images>"

    @property
    def baseline(self) -> str:
        """What cosines of hits are to be compared with, as the end of a sentence; empty where there are no images."""
        return "" if self.median_cosine is None else f"; median cosine of the index {self.median_cosine:.3f}"

    def _repr_html_(self) -> str:
        """Return the hits as thumbnails with cosines, files and captions, as HTML for the cell of a notebook."""
        from sycoca.notebooks.cell_html import cell, figures, note, picture

        shown = (
            (
                picture(hit.thumbnail_uri(), hit.file, side=_SHOWN_PIXELS),
                f"{hit.cosine:.3f} {' · '.join(filter(None, (hit.text, hit.file)))}",
            )
            for hit in self.hits
        )
        condition = "" if self.where is None else f" where {self.where}"
        kind = "every image compared" if self.is_exact else "approximate"
        about = (
            f"{len(self.hits)} of {self.num_matching:,} images{condition}; {kind}, {self.seconds:.2f} s{self.baseline}"
        )
        return cell(self.query, note(about), figures(shown, side=_SHOWN_PIXELS))

    def to_json(self) -> str:
        """Return query and hits as JSON, without thumbnails."""
        hits = [{"file": hit.file, "cosine": round(hit.cosine, 6), **hit.columns} for hit in self.hits]
        plain = {
            "query": self.query,
            "where": self.where,
            "exact": self.is_exact,
            "images": self.num_images,
            "matching": self.num_matching,
            "median_cosine": None if self.median_cosine is None else round(self.median_cosine, 6),
            "seconds": round(self.seconds, 4),
            "hits": hits,
        }
        return json.dumps(plain, ensure_ascii=False, indent=1)
