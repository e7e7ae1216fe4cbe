"""Rows of an index on their way into its table: embedded or copied, and written in commits."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import numpy as np
import pyarrow as pa
from jaxtyping import Float32

from sycoca.data.formats.named_images import shown_name
from sycoca.inference.predictor import Predictor
from sycoca.outputs.lease import Lease
from sycoca.search.index_facts import EMBEDDING, THUMBNAIL
from sycoca.search.index_table import IndexTable
from sycoca.search.reading import ReadSample
from sycoca.search.rows import rows_of

MOST_PENDING = 4096
"""Most rows that wait for a commit: about 60 MB with their thumbnails."""

_LEAST_SECONDS = 1.0
_MOST_REPEATED = 0.01
"""Time between commits: a second, and a hundredth of the time so far. So much is done again after a kill, and a run of
days makes no more than some thousand files."""

_COPIED = ("content", "width", "height", THUMBNAIL, EMBEDDING)
"""The columns that depend on an image's content alone."""


@final
class RowWriter:
    """Writes rows into an index; those of a content that the index had before are copied."""

    def __init__(
        self, table: IndexTable, known_keys: frozenset[str], predictor: Predictor, batch_size: int, lease: Lease
    ) -> None:
        self.num_embedded = 0
        self.num_copied = 0
        self._table = table
        self._before = table.snapshot()
        self._known_keys = known_keys
        self._predictor = predictor
        self._batch_size = batch_size
        self._lease = lease
        self._pending: list[pa.Table] = []
        self._started_at = self._committed_at = time.perf_counter()

    def write(self, samples: Sequence[ReadSample]) -> None:
        """Embed or copy a batch; it is committed soon."""
        if not samples:
            return
        self._pending.append(self._rows(samples))
        now = time.perf_counter()
        is_due = now - self._committed_at > max(_LEAST_SECONDS, _MOST_REPEATED * (now - self._started_at))
        if is_due or sum(map(len, self._pending)) >= MOST_PENDING:
            self.commit()

    def commit(self) -> None:
        """Write what is pending. Raises LeaseLostError where another process has taken the index over."""
        # Taken out first: what a commit that fails has written is unknown.
        pending, self._pending = self._pending, []
        if not pending:
            return
        self._lease.check()
        rows = pa.concat_tables(pending)
        is_known = np.array([key in self._known_keys for key in rows["key"].to_pylist()])
        new, changed = rows.filter(pa.array(~is_known)), rows.filter(pa.array(is_known))
        if len(new):
            uninterrupted(lambda: self._table.add(new))
        if len(changed):
            uninterrupted(lambda: self._table.replace(changed))
        self._committed_at = time.perf_counter()

    def _rows(self, samples: Sequence[ReadSample]) -> pa.Table:
        of_pixels = self._embedded([one for one in samples if one.pixels is not None])
        of_pixels |= self._copied([one.content for one in samples if one.pixels is None])
        made = [of_pixels[one.content] for one in samples]
        columns: dict[str, list[Any]] = {name: [row[name] for row in made] for name in _COPIED if name != EMBEDDING}
        columns |= {
            "key": [one.sample.key for one in samples],
            "file": [shown_name(one.sample) for one in samples],
            "captions": [list(one.sample.captions) for one in samples],
            "label": [one.sample.label for one in samples],
            "split": [one.sample.split for one in samples],
            "image_state": [one.image_state for one in samples],
            "details": [one.details for one in samples],
        }
        embeddings: Float32[np.ndarray, "rows embed"] = np.stack([row[EMBEDDING] for row in made])
        return rows_of(columns, embeddings, self._table.facts.embed_dim)

    def _embedded(self, samples: Sequence[ReadSample]) -> dict[int, Mapping[str, Any]]:
        """Return the columns that depend on the content, by it; equal images of a batch are embedded once."""
        pixels = {one.content: one.pixels for one in samples if one.pixels is not None}
        if not pixels:
            return {}
        pictures = [one.picture for one in pixels.values()]
        embeddings = self._predictor.embed_images(pictures, batch_size=self._batch_size).numpy()
        self.num_embedded += len(pixels)
        return {
            content: {
                "content": content,
                "width": one.width,
                "height": one.height,
                THUMBNAIL: one.thumbnail,
                EMBEDDING: embedding,
            }
            for (content, one), embedding in zip(pixels.items(), embeddings, strict=True)
        }

    def _copied(self, contents: Sequence[int]) -> dict[int, Mapping[str, Any]]:
        """Return the same columns from the index as it was before."""
        if not contents:
            return {}
        self.num_copied += len(contents)
        rows = self._before.rows_with(sorted(set(contents)), _COPIED).to_pylist()
        return {row["content"]: {**row, EMBEDDING: np.array(row[EMBEDDING], np.float32)} for row in rows}


def uninterrupted(change: Callable[[], object]) -> None:
    """Call a function in a thread, and wait for its end after Ctrl-C too.

    LanceDB goes on in the background with a commit that Ctrl-C has interrupted: it would be made twice.
    """
    errors: list[BaseException] = []
    has_ended = threading.Event()

    def call() -> None:
        try:
            change()
        except BaseException as error:  # noqa: BLE001 (raised below)
            errors.append(error)
        finally:
            has_ended.set()

    # Not joined: before Python 3.13 a join that Ctrl-C interrupts takes the thread for ended.
    threading.Thread(target=call, name="commit").start()
    try:
        has_ended.wait()
    except KeyboardInterrupt:
        has_ended.wait()
        raise
    if errors:
        raise errors[0]
