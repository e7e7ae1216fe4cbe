"""The output folder of a map: one file per block, each written by one worker.

FOLDER/plan.json            what the folder is made of
FOLDER/00017.jsonl          the rows of a block; it appears when it is complete
FOLDER/skipped/00017.jsonl  the samples of the block that cannot be read, written before; none where all can be
FOLDER/.00017.jsonl.lease   while a worker writes the block
"""

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import final

from sycoca.data.loading.skipping import read_skipped
from sycoca.json_lines import write_records
from sycoca.mapping.blocks import SKIPPED_BY_SOURCE, Block
from sycoca.mapping.plan import PLAN_NAME, read_plan
from sycoca.mapping.settings import MapFormat
from sycoca.mapping.writing import Columns, Row, write_rows
from sycoca.outputs.atomic import remove_unfinished
from sycoca.outputs.errors import LeaseHeldError, OutputError, Remains
from sycoca.outputs.lease import Lease, lease_beside
from sycoca.outputs.output import Output
from sycoca.unusable import SkippedSample

SKIPPED_NAME = "skipped"


@final
class MapFolder:
    """The files of a map, and who writes them."""

    def __init__(self, path: Path, blocks: Sequence[Block], columns: Columns, format: MapFormat) -> None:
        self.path = path
        self.blocks = blocks
        self._columns = columns
        self._format: MapFormat = format

    def output(self, block: Block) -> Path:
        """Return the file of a block."""
        return self.path / f"{block.name}.{self._format}"

    def unfinished(self) -> list[Block]:
        """Return the blocks without a file, in their order."""
        with os.scandir(self.path) as entries:
            there = {entry.name for entry in entries}
        return [block for block in self.blocks if self.output(block).name not in there]

    @contextmanager
    def claim(self, block: Block) -> Iterator[Lease | None]:
        """Context in which a block is this worker's; None where another worker has it, or its file is there."""
        path = self.output(block)
        if path.exists():
            yield None
            return
        lease = Lease(lease_beside(path), path, waits=False)
        try:
            yield lease if self._is_claimed(path, lease) else None
        finally:
            lease.release()

    def write(self, block: Block, rows: Sequence[Row], skipped: Sequence[SkippedSample], lease: Lease) -> None:
        """Write the skipped samples of a block, then its rows. Raises LeaseLostError where another worker has it."""
        lease.check()
        self._write_skipped(block.name, skipped)
        write_rows(self.output(block), rows, self._columns, self._format)

    def write_skipped_by_source(self, skipped: Sequence[SkippedSample]) -> None:
        """Write the samples that the source itself has left out."""
        self._write_skipped(SKIPPED_BY_SOURCE, skipped)

    def skipped(self) -> list[SkippedSample]:
        """Return the skipped samples of all files, the source's own included."""
        folder = self.path / SKIPPED_NAME
        # Hidden ones are those that killed workers were writing.
        paths = sorted(folder.glob("[!.]*.jsonl")) if folder.is_dir() else []
        return [one for path in paths for one in read_skipped(path)]

    def tidy(self) -> None:
        """Delete the leases that killed workers have left beside finished files."""
        for path in self.path.glob(".*.lease"):
            with contextlib.suppress(LeaseHeldError), Lease(path, self.path, waits=False):
                pass  # releasing it deletes it

    def remains(self) -> Remains:
        """Return what the folder has so far, for messages about an interrupted map."""
        done = len(self.blocks) - len(self.unfinished())
        return Remains(
            path=self.path, state=f"has {done:,} of {len(self.blocks):,} files; the same command makes the others"
        )

    def _write_skipped(self, name: str, skipped: Sequence[SkippedSample]) -> None:
        path = self.path / SKIPPED_NAME / f"{name}.jsonl"
        if skipped:
            write_records(path, map(asdict, skipped))
        else:
            path.unlink(missing_ok=True)

    def _is_claimed(self, path: Path, lease: Lease) -> bool:
        """Take the lease of a block's file; return whether the block is now to be mapped."""
        try:
            lease.__enter__()
        except LeaseHeldError:
            return False
        if path.exists():  # another worker has finished it since
            return False
        self._remove_unfinished(path)
        return True

    def _remove_unfinished(self, path: Path) -> None:
        remove_unfinished(self.path, [path.name])
        remove_unfinished(self.path / SKIPPED_NAME, [f"{path.stem}.jsonl"])


def check_folder(path: Path, inputs: tuple[Path, ...] = (), *, overwrite: bool) -> None:
    """Raise OutputError where a folder cannot be written or holds something else; with ``overwrite`` delete its map.

    ``inputs`` are what the map is made from, which may not be in it. It is deleted only while no worker writes there,
    and nothing but the files of the map is.
    """
    Output(path=path, kind="files in a folder").check()
    if not path.is_dir():
        return
    plan = read_plan(path)
    if plan is None:
        # Hidden files are what killed workers leave.
        others = sorted(one.name for one in path.iterdir() if not one.name.startswith("."))
        if others:
            raise OutputError(f"{path} holds {others[0]} and is no folder of sycoca map; choose another name")
        return
    Output(path=path, kind="growing folder", inputs=inputs).check_inputs()
    if overwrite:
        _delete(path, [f"{name}.{plan.get('format')}" for name in plan["files"]])


def _delete(folder: Path, names: Sequence[str]) -> None:
    for lease in folder.glob(".*.lease"):
        with Lease(lease, folder, waits=False):  # raises where a worker runs
            pass
    shutil.rmtree(folder / SKIPPED_NAME, ignore_errors=True)
    for name in names:
        (folder / name).unlink(missing_ok=True)
    # Last: a folder without its plan is not recognized.
    (folder / PLAN_NAME).unlink(missing_ok=True)
