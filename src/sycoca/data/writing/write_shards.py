"""Writing of shards: tar files that `shards:` and webdataset read, by several processes, resumable.

A folder of shards while it is written, and when it is complete:

    00000.tar, 00001.tar, ..   each appears whole
    progress.jsonl             what the shards are made from, then a line per finished shard; deleted at the end
    skipped.jsonl              the samples that cannot be used, where there are any
    manifest.json              size, SHA-256 and number of samples of each shard, and what they are made from; the last
"""

import logging
import re
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sycoca.data.choices import check_skipped_ratio
from sycoca.data.loading.skipping import SkipLog
from sycoca.data.named_inputs import named_inputs
from sycoca.data.samples import SampleSource, skipped_samples
from sycoca.data.spec import open_source
from sycoca.data.writing.shard_files import WrittenShard
from sycoca.data.writing.shard_layout import Packing, ShardLayout, packed, shard_name
from sycoca.json_lines import ResumableLines, write_records
from sycoca.outputs.atomic import remove_unfinished
from sycoca.outputs.errors import OutputError
from sycoca.outputs.lease import Lease
from sycoca.outputs.manifest import MANIFEST_NAME, Entries, Manifest, file_entry
from sycoca.outputs.output import Output
from sycoca.outputs.record_lines import Record
from sycoca.plain_data import write_text
from sycoca.progress_bar import tracked
from sycoca.unusable import SkippedSample
from sycoca.worker_processes import results_of, usable_cores

if TYPE_CHECKING:
    from rich.console import Console

logger = logging.getLogger(__name__)

PROGRESS_NAME = "progress.jsonl"
SKIPPED_NAME = "skipped.jsonl"

_NAME = re.compile(r"\d{5,}\.tar")


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardFolder:
    """A complete folder of shards."""

    folder: Path
    """The folder."""

    shards: int
    """Number of shards."""

    samples: int
    """Samples in them."""

    bytes: int
    """Their size in bytes."""

    skipped: int
    """Samples whose image cannot be read; ``skipped.jsonl`` names them."""

    @property
    def spec(self) -> str:
        """The SPEC that reads the shards."""
        names = shard_name(0, self.shards), shard_name(self.shards - 1, self.shards)
        first, last = (name.removesuffix(".tar") for name in names)
        return f"shards:{self.folder}/{first if first == last else f'{{{first}..{last}}}'}.tar"


def write_shards(
    source: SampleSource | str,
    folder: Path,
    layout: ShardLayout | None = None,
    *,
    num_workers: int | None = None,
    max_skipped_ratio: float = 0.0,
    resume: bool = False,
    overwrite: bool = False,
    console: "Console | None" = None,
) -> ShardFolder:
    """Write the samples of a SPEC or source into shards, and return what was written.

    The shards' bytes depend on samples and layout alone, not on the number of workers or on interruptions.

    Args:
        source: a SPEC or a source.
        folder: where the shards go; it holds nothing else.
        layout: how samples are distributed over shards.
        num_workers: processes that write; one per processor by default, 0 writes in this one.
        max_skipped_ratio: largest fraction of the samples that may be left out because they cannot be read.
        resume: keep the shards that an interrupted call has finished, and write the others.
        overwrite: replace shards that are there.
        console: where a progress bar is shown.

    Raises OutputError (a ValueError) where the folder holds shards already or other files, cannot be written, or is
    resumed with other data or another layout; ValueError where more samples than allowed cannot be used; and
    ChildProcessError where a worker died.
    """
    layout = ShardLayout() if layout is None else layout
    num_workers = usable_cores() if num_workers is None else num_workers
    if num_workers < 0:
        raise ValueError(f"num_workers must be at least 0, got {num_workers}")
    check_skipped_ratio(max_skipped_ratio)
    output = _output(folder, resume=resume, overwrite=overwrite)
    with output.claim() as lease:
        if isinstance(source, str):
            replace(output, inputs=named_inputs(source)).check_inputs()
            source = open_source(source)
        packing = packed(source, layout, folder)
        made_from = packing.made_from()
        if not resume:
            _remove(folder)
        elif (found := _complete(folder, made_from)) is not None:
            return found
        progress = _progress(folder, made_from, lease)
        log = SkipLog(source, max_skipped_ratio)
        shards = _write_missing(packing, progress, log, min(num_workers, packing.num_shards), console)
        return _finish(packing, shards, log, made_from)


def _output(folder: Path, *, resume: bool, overwrite: bool) -> Output:
    found = [path.name for path in folder.iterdir() if _NAME.fullmatch(path.name)] if folder.is_dir() else []
    return Output(
        path=folder,
        kind="growing folder",
        names=(*found, PROGRESS_NAME, SKIPPED_NAME, MANIFEST_NAME),
        noun="folder of shards",
        overwrite=overwrite,
        resume=resume,
    )


def _remove(folder: Path) -> None:
    """Delete the shards of before, first what says that they are complete."""
    for name in (MANIFEST_NAME, PROGRESS_NAME, SKIPPED_NAME):
        (folder / name).unlink(missing_ok=True)
    for path in folder.iterdir():
        if _NAME.fullmatch(path.name):
            path.unlink()
    remove_unfinished(folder)


def _complete(folder: Path, made_from: dict[str, Any]) -> ShardFolder | None:
    """Return the folder where an earlier call has completed it; None where it is not."""
    if not (folder / MANIFEST_NAME).exists():
        return None
    manifest = Manifest.read(folder)
    _check_same(folder, dict(manifest.made_from or {}), made_from)
    (folder / PROGRESS_NAME).unlink(missing_ok=True)
    return _folder_of(folder, manifest.files, made_from)


def _check_same(folder: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    for name, value in now.items():
        if before.get(name) != value:
            raise OutputError(
                f"{folder} was begun with {name} {before.get(name)}, and now it is {value}; resume with the same data"
                " and options, or begin again with --overwrite"
            )


def _progress(folder: Path, made_from: dict[str, Any], lease: Lease) -> ResumableLines:
    """Return the file of finished shards, after checking that they are made from the same data."""
    remove_unfinished(folder)
    progress = ResumableLines(folder / PROGRESS_NAME, resume=True, accepts=_is_record, lease=lease)
    if not progress.records:
        if any(_NAME.fullmatch(path.name) for path in folder.iterdir()):
            raise OutputError(f"{folder} has shards, but no {PROGRESS_NAME} that says how they began; use --overwrite")
        progress.append({"made_from": made_from})
    else:
        _check_same(folder, progress.records[0].get("made_from", {}), made_from)
    return progress


def _is_record(record: Record) -> bool:
    match record:
        case {"made_from": dict()} | {
            "name": str(),
            "samples": int(),
            "bytes": int(),
            "sha256": str(),
            "skipped": list(),
        }:
            return True
        case _:
            return False


def _write_missing(
    packing: Packing, progress: ResumableLines, log: SkipLog, num_workers: int, console: "Console | None"
) -> list[WrittenShard]:
    """Write the shards that are not finished, and return all of them in order."""
    done = {shard.name: shard for record in progress.records[1:] if (shard := _finished(packing.folder, record))}
    for shard in done.values():
        _add(log, shard)
    missing = [number for number in range(packing.num_shards) if packing.name(number) not in done]
    with closing(results_of(packing, Packing.write, missing, num_workers=num_workers)) as written:
        for shard in tracked(written, len(missing), "writing shards", console=console):
            progress.append(asdict(shard))
            done[shard.name] = shard
            _add(log, shard)
    return [done[packing.name(number)] for number in range(packing.num_shards)]


def _finished(folder: Path, record: Record) -> WrittenShard | None:
    """Return the shard of a line, None where its file is not there any more as it was written."""
    path = folder / record["name"]
    if not _NAME.fullmatch(path.name) or not path.is_file() or path.stat().st_size != record["bytes"]:
        return None
    skipped = tuple(SkippedSample(**sample) for sample in record["skipped"])
    return WrittenShard(**{**record, "skipped": skipped})


def _add(log: SkipLog, shard: WrittenShard) -> None:
    for sample in shard.skipped:
        log.add(sample)


def _finish(packing: Packing, shards: Sequence[WrittenShard], log: SkipLog, made_from: dict[str, Any]) -> ShardFolder:
    """Write what is written last, when all shards are on disk."""
    folder = packing.folder
    files: Entries = {
        shard.name: {"samples": shard.samples, "bytes": shard.bytes, "sha256": shard.sha256} for shard in shards
    }
    skipped = [*skipped_samples(packing.source), *(sample for shard in shards for sample in shard.skipped)]
    if skipped:
        logger.warning(log.summary())
        write_records(folder / SKIPPED_NAME, map(asdict, skipped))
        files[SKIPPED_NAME] = file_entry(folder / SKIPPED_NAME)
    write_text(folder / MANIFEST_NAME, Manifest(kind="shards", files=files, made_from=made_from).text)
    (folder / PROGRESS_NAME).unlink()
    return _folder_of(folder, files, made_from)


def _folder_of(folder: Path, files: Entries, made_from: dict[str, Any]) -> ShardFolder:
    shards = [entry for name, entry in files.items() if _NAME.fullmatch(name)]
    samples = sum(entry["samples"] for entry in shards)
    return ShardFolder(
        folder=folder,
        shards=len(shards),
        samples=samples,
        bytes=sum(entry["bytes"] for entry in shards),
        skipped=made_from["source_samples"] - samples,
    )
