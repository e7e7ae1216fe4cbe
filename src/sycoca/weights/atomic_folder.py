"""Folders that are written atomically."""

import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder to write into; it replaces ``target`` when the block ends without an error.

    All its files are flushed to disk before. A process that is killed leaves the old folder, or a temporary folder
    beside it whose name begins with a dot, never a partly written ``target``.
    """
    target = target.absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        yield unfinished
        for path in [*unfinished.rglob("*"), unfinished]:
            grant_usual_rights(path)
            _flush(path)
        _replace(target, unfinished)
        _flush(target.parent)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def grant_usual_rights(path: Path) -> None:
    """Set the permissions that the umask allows: only the owner can read what mkdtemp and safetensors create."""
    path.chmod((0o777 if path.is_dir() else 0o666) & ~_umask())


def refuse_other_files(folder: Path, names: Collection[str], what: str) -> None:
    """Raise ValueError where ``folder`` exists and holds other files than ``names``, those of a ``what``."""
    if not folder.exists():
        return
    others = [path.name for path in folder.iterdir() if path.name not in names] if folder.is_dir() else ["it"]
    if others:
        raise ValueError(
            f"{folder} exists and is not a {what} ({sorted(others)[0]} would be deleted); choose another name"
        )


def _replace(target: Path, new: Path) -> None:
    if not target.exists():
        new.rename(target)
        return
    old = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.old."))
    target.rename(old)
    new.rename(target)
    shutil.rmtree(old)


def _flush(path: Path) -> None:
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot open folders
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
