"""Open the index of a source of shards; build it first, or the part of it whose shards have changed."""

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from sycoca.data.formats.rows import Columns
from sycoca.data.formats.shards.assembly import OldPart, ScannedPart, ShardPart, scanned_part, write_index
from sycoca.data.formats.shards.index import FORMAT_VERSION, PackedIndex
from sycoca.data.formats.shards.index_folders import IndexFolder, can_write, index_folders
from sycoca.data.formats.shards.sample_texts import Content
from sycoca.data.formats.shards.scan import ScannedShard, scan_shard
from sycoca.data.formats.shards.scanned_file import load_scanned, save_scanned
from sycoca.data.formats.shards.shard_files import ShardFiles, ShardState
from sycoca.outputs.atomic import atomic_folder, remove_unfinished
from sycoca.outputs.errors import LeaseHeldError, OutputError
from sycoca.outputs.lease import Lease, lease_beside
from sycoca.worker_processes import results_of, usable_cores

logger = logging.getLogger(__name__)

_BYTES_FOR_WORKERS = 64 * 2**20
"""Bytes of shards from which it pays to start worker processes."""

_MOST_WORKERS = 16

_POLL_SECONDS = 0.25
"""Time between two looks at an index that another process builds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Job:
    """What the scans of all shards have in common."""

    files: ShardFiles
    states: Sequence[ShardState]
    columns: Columns
    parts: Path
    """The folder for what is finished."""


def open_index(files: ShardFiles, columns: Columns, given: Path | None = None) -> PackedIndex:
    """Return the index of shards, which is built where there is none, and where a shard has changed since.

    ``given`` is the folder to keep it in; None for the folder of the shards, or the user's cache folder where that
    cannot be written. Of several processes, also on other machines, one builds it and the others wait. Raises
    ValueError where the shards cannot be read, and OutputError where no folder can be written.
    """
    states = files.states()
    folders = index_folders(files, columns, given)
    for folder in folders:
        index = _present(folder, files, states, logging.WARNING)
        if index is not None:
            return index
    folder = next((folder for folder in folders if can_write(folder.root)), None)
    if folder is None:
        raise OutputError(f"{folders[-1].root} cannot be written; name a folder for the index with ?index=DIR")
    return _built_by_one(folder, files, states, columns)


def _present(
    folder: IndexFolder, files: ShardFiles, states: Sequence[ShardState], level: int = logging.DEBUG
) -> PackedIndex | None:
    """Return the index in a folder; None where there is none, or it is not that of the shards as they are now."""
    index = _opened(folder.path, level)
    if index is None:
        return None
    return index if [(shard.name, shard.state) for shard in index.shards] == list(_identified(files, states)) else None


def _opened(folder: Path, level: int = logging.DEBUG) -> PackedIndex | None:
    try:
        return PackedIndex(folder)
    except FileNotFoundError:
        return None
    except Exception as error:  # noqa: BLE001 (numpy raises errors of many kinds for damaged files)
        logger.log(level, f"the index {folder} is built again: {error}")
        return None


def _identified(files: ShardFiles, states: Sequence[ShardState]) -> Iterator[tuple[str, ShardState]]:
    return zip(files.names, states, strict=True)


def _built_by_one(
    folder: IndexFolder, files: ShardFiles, states: Sequence[ShardState], columns: Columns
) -> PackedIndex:
    """Build the index, or wait while another process does."""
    is_announced = False
    while True:
        try:
            with _held(folder):
                index = _present(folder, files, states)  # another process may have built it meanwhile
                return _built(folder, files, states, columns) if index is None else index
        except LeaseHeldError as error:
            logger.log(logging.DEBUG if is_announced else logging.INFO, "waiting for the index of shards: %s", error)
            is_announced = True
            time.sleep(_POLL_SECONDS)


@contextmanager
def _held(folder: IndexFolder) -> Iterator[None]:
    try:
        folder.root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder.root} cannot be created: {error.strerror}") from error
    with Lease(lease_beside(folder.path), folder.path):
        yield


def _built(folder: IndexFolder, files: ShardFiles, states: Sequence[ShardState], columns: Columns) -> PackedIndex:
    """Scan the shards that no index has as they are now, and write the index of all."""
    started_at = time.perf_counter()
    job = _Job(files=files, states=states, columns=columns, parts=folder.parts)
    job.parts.mkdir(exist_ok=True)
    parts = _old_parts(folder, files, states)
    missing = [shard for shard in range(len(states)) if shard not in parts]
    megabytes = sum(states[shard].size for shard in missing) / 1e6
    logger.info(f"indexing {len(missing):,} of {len(states):,} shards ({megabytes:,.1f} MB) in {folder.path}")
    parts |= _scanned(job, missing)
    content = _most(parts.values())
    # What another index has left out for having no caption may be all there is to some of its shards.
    unfit = [shard for shard, part in parts.items() if isinstance(part, OldPart) and part.most != content]
    parts |= _scanned(job, unfit)
    _write(folder, [parts[shard] for shard in range(len(states))], files, states)
    index = PackedIndex(folder.path)
    seconds = time.perf_counter() - started_at
    logger.info(f"indexed {len(index):,} samples in {seconds:.1f} s, {len(index.skipped):,} unusable")
    return index


def _write(folder: IndexFolder, parts: Sequence[ShardPart], files: ShardFiles, states: Sequence[ShardState]) -> None:
    content = _most(parts)
    remove_unfinished(folder.root, [folder.name])  # other processes may be writing other indexes there
    with atomic_folder(folder.path) as unfinished:
        write_index(unfinished, parts, files.names, states, content)
    shutil.rmtree(folder.parts, ignore_errors=True)


def _most(parts: Iterable[ShardPart]) -> Content:
    found = {part.most for part in parts}
    return next(content for content in reversed(get_args(Content)) if content in found)


def _old_parts(folder: IndexFolder, files: ShardFiles, states: Sequence[ShardState]) -> dict[int, ShardPart]:
    """Return the shards that an index of this set, or of another one with the same shards, has as they are now."""
    numbers = {identity: shard for shard, identity in enumerate(_identified(files, states))}
    parts: dict[int, ShardPart] = {}
    for path in folder.relatives():
        index = _opened(path)
        for own, shard in enumerate([] if index is None else index.shards):
            number = numbers.get((shard.name, shard.state))
            if index is not None and number is not None:
                parts.setdefault(number, OldPart(index=index, shard=own))
    return parts


def _scanned(job: _Job, shards: Sequence[int]) -> dict[int, ShardPart]:
    num_bytes = sum(job.states[shard].size for shard in shards)
    num_workers = 0 if num_bytes < _BYTES_FOR_WORKERS else min(usable_cores(), len(shards), _MOST_WORKERS)
    return dict(results_of(job, _scan, shards, num_workers=num_workers))


def _scan(job: _Job, shard: int) -> tuple[int, ScannedPart]:
    """Index one shard, unless an earlier process has done so before it ended."""
    identity = json.dumps([FORMAT_VERSION, job.files.names[shard], *job.states[shard]])
    file = job.parts / f"{hashlib.sha256(identity.encode()).hexdigest()[:16]}.npz"
    try:
        scanned = load_scanned(file)
    except Exception:  # noqa: BLE001 (there is no file, or a damaged one, for which numpy raises errors of many kinds)
        scanned = _read(job, shard)
        save_scanned(file, scanned)
    return shard, scanned_part(file, job.files.paths[shard], job.files.names[shard], scanned)


def _read(job: _Job, shard: int) -> ScannedShard:
    try:
        return scan_shard(job.files, shard, job.states[shard].size, job.columns)
    except OSError as error:
        raise ValueError(f"{job.files.paths[shard]} cannot be read: {error.strerror or error}") from error
