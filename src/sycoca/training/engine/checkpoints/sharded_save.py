"""A sharded checkpoint that all processes write at once, each in a thread of its own, while training goes on.

The main process makes an unfinished folder. Each process writes its shards there, flushes them, and leaves their
entries for the manifest in a file. The thread of the main process waits for the entries of all, writes the other files
and the manifest, and gives the folder its name. A process that dies before loses this checkpoint alone.
"""

import json
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import final

from torch import Tensor

from sycoca.outputs.atomic import atomic_file
from sycoca.outputs.manifest import Entries, Manifest, Writer, flushed_entries, written_entries
from sycoca.training.engine.checkpoints.shard_files import files_of_rank, write_shards

_POLL_SECONDS = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class Conclusion:
    """What the main process does once all shards are on disk."""

    folder: AbstractContextManager[object]
    """Gives the unfinished folder its name on exit, or deletes it after an error."""

    num_writers: int
    """Processes whose entries it waits for."""

    step: int
    """The step of the checkpoint."""

    files: Callable[[list[str]], Mapping[str, Writer]]
    """Returns the writers of the other files by name, given the names of all shard files."""

    check: Callable[[], object]
    """Raises where the run folder is no longer held."""


@final
class ShardedSave:
    """The part of one process in writing a checkpoint."""

    def __init__(
        self, unfinished: Path, tensors: Mapping[str, Tensor], rank: int, conclusion: Conclusion | None
    ) -> None:
        """Start to write; ``conclusion``: of the main process alone."""
        self._unfinished = unfinished
        self._tensors = tensors
        self._rank = rank
        self._conclusion = conclusion
        self._error: Exception | None = None
        # A daemon: a process that ends by an error does not wait for others that may have died.
        self._thread = threading.Thread(target=self._run, name="checkpoint", daemon=True)
        self._thread.start()

    @property
    def is_done(self) -> bool:
        """Whether this process has done its part; raises the error of one that failed."""
        if self._error is not None:
            raise self._error
        return not self._thread.is_alive()

    def wait(self) -> None:
        """Wait until this process has done its part; raises the error of one that failed."""
        self._thread.join()
        assert self.is_done

    def _run(self) -> None:
        try:
            if self._conclusion is None:
                self._write_own()
            else:
                with self._conclusion.folder:
                    self._write_own()
                    self._conclude(self._conclusion)
        except Exception as error:  # noqa: BLE001 (whatever it is, the main thread raises it)
            self._error = error
        finally:
            self._tensors = {}

    def _write_own(self) -> None:
        write_shards(self._unfinished, self._tensors, self._rank)
        names = [path.name for path in files_of_rank(self._unfinished, self._rank)]
        entries = flushed_entries(self._unfinished, names) if names else {}
        with atomic_file(_entries_path(self._unfinished, self._rank)) as new:
            new.write_text(json.dumps(entries), encoding="utf-8")

    def _conclude(self, conclusion: Conclusion) -> None:
        entries: Entries = {}
        for rank in range(conclusion.num_writers):
            entries |= self._await_entries(_entries_path(self._unfinished, rank), conclusion)
        entries |= written_entries(self._unfinished, conclusion.files(sorted(entries)))
        Manifest(kind="checkpoint", step=conclusion.step, files=entries).write(self._unfinished)
        conclusion.check()

    def _await_entries(self, path: Path, conclusion: Conclusion) -> Entries:
        while not path.exists():
            conclusion.check()
            time.sleep(_POLL_SECONDS)
        entries = json.loads(path.read_bytes())
        path.unlink()
        return entries


def _entries_path(folder: Path, rank: int) -> Path:
    return folder / f"entries-{rank:05d}.json"
