"""The checkpoints of a run, and in each of them copies of the run's small files, from which a resume restores those."""

import hashlib
import logging
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sycoca.outputs.atomic import atomic_file
from sycoca.outputs.manifest import DamageError, Manifest
from sycoca.outputs.set_aside import set_aside, why_unusable

logger = logging.getLogger(__name__)

CONFIG_NAME, TOKENIZER_NAME, START_NAME = "config.yaml", "tokenizer.json", "start.json"

COPIED_NAMES = (CONFIG_NAME, TOKENIZER_NAME, START_NAME)
"""Files of a run folder without which it cannot be resumed, and which do not change while it is trained."""

DIFFERS = "differs from its copy"
"""The difference of a file of which none other is known."""

_FOLDER_NAME = re.compile(r"step-(\d{8,})")


@dataclass(frozen=True, slots=True)
class Copy:
    """A sound copy of a run's file."""

    checkpoint: Path
    """The checkpoint that holds it."""

    data: bytes
    """The content."""


def checkpoint_path(folder: Path, step: int) -> Path:
    """Return the folder of a step's checkpoint."""
    return folder / f"step-{step:08d}"


def checkpoints_in(folder: Path) -> list[tuple[int, Path]]:
    """Return the checkpoints with their steps, the oldest first. Raises ValueError where a file stands in their place.

    Among them may be files and empty folders with a checkpoint's name.
    """
    if not folder.exists():
        return []
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder; put the run's checkpoints there, or start a new run")
    found = [(int(match[1]), path) for path in folder.iterdir() if (match := _FOLDER_NAME.fullmatch(path.name))]
    return sorted(found)


def contents_to_copy(run: Path) -> dict[str, bytes]:
    """Return the contents of the files that each checkpoint gets a copy of, by name.

    A process reads them once: a file that is damaged later does not reach its checkpoints.
    """
    paths = [run / name for name in COPIED_NAMES]
    return {path.name: path.read_bytes() for path in paths if path.is_file()}


def newest_copy(checkpoints: Path, name: str) -> Copy | None:
    """Return the copy of a file in the newest checkpoint whose copy is sound; None where no checkpoint has one."""
    for _, path in reversed(checkpoints_in(checkpoints)):
        with suppress(DamageError, OSError):
            entry, data = Manifest.read(path).files.get(name), (path / name).read_bytes()
            if entry is not None and entry["sha256"] == hashlib.sha256(data).hexdigest():
                return Copy(path, data)
    return None


def restore_from_copy(path: Path, checkpoints: Path) -> None:
    """Make a file equal to its newest copy, where there is one; a damaged one is set aside, with a warning."""
    copy = newest_copy(checkpoints, path.name)
    why = None if copy is None else difference(path, copy)
    if copy is not None and why is not None:
        replace_damaged(path, why, copy)


def replace_damaged(path: Path, why: str, copy: Copy) -> None:
    """Set a damaged file aside, write its copy in its place and say so in a warning."""
    aside = f"; it is now {set_aside(path, '.damaged').name}" if os.path.lexists(path) else ""
    with atomic_file(path) as unfinished:
        unfinished.write_bytes(copy.data)
    logger.warning(f"{path} {why}{aside}, and its copy in {copy.checkpoint} takes its place")


def difference(path: Path, copy: Copy) -> str | None:
    """Return how a file differs from its copy, as the end of a sentence; None where it does not."""
    why = why_unusable(path)
    if why is not None:
        return why
    if not path.exists():
        return "is missing"
    data = path.read_bytes()
    if data == copy.data:
        return None
    if not data:
        return "is emptied"
    return "is truncated" if copy.data.startswith(data) else DIFFERS
