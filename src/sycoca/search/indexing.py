"""The work on an image index: what has changed in the data is written, what is gone is removed. Needs [search]."""

import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, final

from sycoca.data.loading.skipping import SkipLog
from sycoca.data.samples import SampleSource
from sycoca.inference.predictor import Predictor
from sycoca.outputs.disk_full import disk_full_reason
from sycoca.outputs.errors import DiskFullError, OutputInterrupted, Remains
from sycoca.outputs.lease import Lease
from sycoca.progress_bar import tracked
from sycoca.search.changes import Change, IndexedRows
from sycoca.search.clusters import cluster, is_outdated, measured_recall
from sycoca.search.fingerprint import is_same_model
from sycoca.search.index_facts import IndexFacts, RecallFacts
from sycoca.search.index_table import IndexTable
from sycoca.search.reading import Reader, ReadSample
from sycoca.search.replacement import open_replacement, publish
from sycoca.search.writing import RowWriter, uninterrupted
from sycoca.stop_signals import number_of
from sycoca.unusable import SkippedSample

if TYPE_CHECKING:
    from rich.console import Console

logger = logging.getLogger(__name__)


@final
class Indexing:
    """Brings an index up to date with a source."""

    def __init__(
        self,
        path: Path,
        facts: IndexFacts,
        source: SampleSource,
        log: SkipLog,
        predictor: Predictor,
        batch_size: int,
        lease: Lease,
        *,
        replaces: bool,
    ) -> None:
        """Open the index, or create it. Raises ValueError for that of other weights or other data.

        ``replaces``: a new index is made beside this one, and takes its place when it is complete.
        """
        self.num_removed = 0
        self._path = path
        self._is_replacement = replaces
        self._table = open_replacement(path, facts, predictor) if replaces else _opened(path, facts, predictor)
        self._rows = IndexedRows(self._table)
        self._source = source
        self._log = log
        self._predictor = predictor
        self._batch_size = batch_size
        self._lease = lease
        self._writer = RowWriter(self._table, frozenset(self._rows.by_key), predictor, batch_size, lease)

    @property
    def num_images(self) -> int:
        """Images in the index."""
        return self._table.count()

    @property
    def num_embedded(self) -> int:
        """Images that went through the model."""
        return self._writer.num_embedded

    @property
    def num_copied(self) -> int:
        """Rows that were written with an embedding that the index had."""
        return self._writer.num_copied

    @property
    def recall(self) -> RecallFacts | None:
        """The approximate search; None where every search is exact."""
        return self._table.facts.recall

    def run(self, console: "Console | None") -> float:
        """Write what has changed, and return the seconds that reading and embedding took.

        Raises OutputInterrupted and DiskFullError, which say what is there, where it is cut short.
        """
        started_at = time.perf_counter()
        with self._naming_remains():
            self._write_changes(console)
            seconds = time.perf_counter() - started_at
            self._remove_gone()
            self._publish()
            self._prepare_searches()
        return seconds

    def _write_changes(self, console: "Console | None") -> None:
        changes = self._rows.changes(self._source)
        num_kept = len(self._source) - len(changes)
        if num_kept and changes:
            logger.info(f"{num_kept:,} of {len(self._source):,} images are unchanged")
        try:
            for _ in tracked(self._written(changes), len(changes), "indexing", console=console):
                pass
        finally:
            self._writer.commit()  # what is embedded is kept, whatever stops the work

    def _written(self, changes: Sequence[Change]) -> Iterator[object]:
        """Yield once per change, after its batch is written."""
        config = self._predictor.config
        reader = Reader(self._source, self._rows.contents, self._predictor.image_size, config.transforms)
        # On a CPU reading and the model's threads would slow each other down: they wait for one another by spinning.
        reads_ahead = self._predictor.model.log_logit_scale.device.type != "cpu"
        for batch in reader.batches(changes, self._batch_size, reads_ahead=reads_ahead):
            self._skip([one for one in batch if isinstance(one, SkippedSample)])
            read = [one for one in batch if isinstance(one, ReadSample)]
            self._writer.write([one for one in read if not self._is_as_known(one)])
            yield from batch

    def _is_as_known(self, read: ReadSample) -> bool:
        """Return whether the row of a sample is right, which only its content could tell."""
        return self._rows.is_unchanged(read.sample.key, read.image_state, read.details)

    def _skip(self, skipped: Sequence[SkippedSample]) -> None:
        for one in skipped:
            logger.info("skipped: %s", one.detail)
            self._log.add(one)

    def _remove_gone(self) -> None:
        """Delete the rows of images that are no longer in the source, or can no longer be read."""
        gone = self._rows.gone({one.name for one in self._log.skipped if not one.image_stays})
        if gone:
            self._lease.check()
            uninterrupted(lambda: self._table.delete(gone))
        self.num_removed = len(gone)

    def _publish(self) -> None:
        """Put a replacement in the place of the index."""
        if self._is_replacement:
            self._lease.check()
            uninterrupted(self._replace)

    def _replace(self) -> None:
        self._table = publish(self._path, self._table)
        self._is_replacement = False

    def _prepare_searches(self) -> None:
        """Tidy the files; cluster a large index, and measure its approximate searches, where it has changed."""
        self._lease.check()
        table = self._table
        uninterrupted(table.optimize)
        if table.count() < table.facts.exact_below:
            if table.facts.recall is not None:
                table.write_facts(replace(table.facts, recall=None))
            return
        if not self._is_measured():
            table.write_facts(replace(table.facts, recall=self._measured()))

    def _is_measured(self) -> bool:
        has_changed = bool(self.num_embedded or self.num_copied or self.num_removed)
        return self.recall is not None and self.recall.num_images == self.num_images and not has_changed

    def _measured(self) -> RecallFacts:
        if self.recall is not None and self._table.is_clustered():
            recall = measured_recall(self._table, self._predictor, self.recall.num_clusters)
            if not is_outdated(recall):
                return recall
        logger.info(f"clustering {self.num_images:,} embeddings")
        return measured_recall(self._table, self._predictor, cluster(self._table))

    @contextmanager
    def _naming_remains(self) -> Iterator[None]:
        try:
            yield
        except KeyboardInterrupt as interrupt:
            raise OutputInterrupted(self._remains(), number_of(interrupt)) from None
        except Exception as error:
            reason = disk_full_reason(error)
            if reason is None:
                raise
            raise DiskFullError(reason, self._remains()) from error

    def _remains(self) -> Remains:
        done, total = self.num_images, len(self._source)
        if self._is_replacement:
            state = f"is as it was; its replacement has {done:,} of {total:,} images, and the same command continues"
        else:
            state = f"has {done:,} images, the data {total:,}; the same command, without --overwrite, continues"
        return Remains(path=self._path, state=state)


def _opened(path: Path, facts: IndexFacts, predictor: Predictor) -> IndexTable:
    table = IndexTable.open(str(path))
    if table is None:
        return IndexTable.create(str(path), facts)
    if not is_same_model(table.facts.fingerprints, predictor):
        raise ValueError(
            f"{path} was made by other weights ({table.facts.weights}), whose embeddings cannot be compared;"
            " --overwrite starts over, or choose another name"
        )
    place = table.facts.place
    has_moved = os.path.isabs(place) and not os.path.exists(place)
    if place != facts.place and not has_moved:
        raise ValueError(
            f"{path} is the index of {place}, whose images would be removed; --overwrite starts over, or choose another"
            " name"
        )
    renewed = replace(facts, fingerprints=table.facts.fingerprints, recall=table.facts.recall)
    if renewed != table.facts:
        table.write_facts(renewed)
    return table
