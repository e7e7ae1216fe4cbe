"""Files and folders that are written atomically: readers see the old content or the new one, never a part."""

import contextlib
import ctypes
import os
import re
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from sycoca.outputs.disk_full import system_error
from sycoca.outputs.hidden_names import short_name

_UMASK_LOCK = Lock()
"""The umask can only be read by setting it; two threads at once would leave it at 0."""

_UNFINISHED_FILE = re.compile(r"\.(.+)\.[0-9a-f]+\.partial(\..*)?")
_UNFINISHED_FOLDER = re.compile(r"\.(.+)\.[0-9a-f]{12}")
"""The names that `atomic_file` and `atomic_folder` give to what is not finished: that of the finished one, and a random
one, since processes on two hosts, or in two containers, may have the same id."""

_ABANDONED_SECONDS = 3600.0
"""Age from which on nobody is taken to write an unfinished file: writing and flushing it takes minutes at most."""

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
"""Constants of renameat2(2)."""


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield the path of a file to write; it replaces ``path`` when the block ends without an error.

    It is flushed to disk before. Missing parent folders are created. Where ``path`` is a link, the linked file is
    replaced. An OSError names ``path``, not the temporary file, which a killed process leaves beside it.
    """
    target = Path(os.path.realpath(path))
    # numpy and torch look at the suffix.
    unfinished = _hidden_beside(target, f".partial{target.suffix[:20]}")
    with errors_naming(path, unfinished):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield unfinished
            grant_usual_rights(unfinished)
            flush(unfinished)
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder to write into; it replaces ``folder`` when the block ends without an error.

    All its files are flushed to disk before. A killed process leaves the old folder whole, and perhaps a hidden
    temporary folder beside it, which `remove_unfinished` deletes. Links and errors as in `atomic_file`.
    """
    target = Path(os.path.realpath(folder))
    unfinished = _hidden_beside(target)
    with errors_naming(folder, unfinished):
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished.mkdir(mode=0o700)
        try:
            yield unfinished
            for path in [*unfinished.rglob("*"), unfinished]:
                grant_usual_rights(path)
                flush(path)
            _replace(target, unfinished)
            flush(target.parent)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def remove_unfinished(folder: Path, of: Collection[str] | None = None) -> None:
    """Delete what killed processes have left of files and folders that they were writing into ``folder``.

    ``of`` are the names of the finished ones, None for all. The caller holds leases on them, or on the folder: nobody
    else writes them.
    """
    names = None if of is None else set(map(short_name, of))
    for path in folder.iterdir() if folder.is_dir() else ():
        name = _name_of_unfinished(path)
        if name is not None and (names is None or name in names):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def remove_abandoned_files(folder: Path) -> None:
    """Delete what killed processes have left of files in a ``folder`` that several write without a lease.

    It is left for an hour, since it might be that of a process that writes.
    """
    unfinished = [path for path in folder.iterdir() if _UNFINISHED_FILE.fullmatch(path.name)] if folder.is_dir() else []
    if not unfinished:
        return
    with tempfile.TemporaryFile(dir=folder) as probe:  # the clock of the file system, which may be another host's
        now = os.fstat(probe.fileno()).st_mtime
    for path in unfinished:
        with contextlib.suppress(FileNotFoundError):  # finished meanwhile, or deleted by another process
            if path.is_file() and now - path.stat().st_mtime > _ABANDONED_SECONDS:
                path.unlink()


def _name_of_unfinished(path: Path) -> str | None:
    """Return the short name of what a path is unfinished of; None where it is something else."""
    if (found := _UNFINISHED_FILE.fullmatch(path.name)) and path.is_file():
        return found[1]
    if (found := _UNFINISHED_FOLDER.fullmatch(path.name)) and path.is_dir():
        return found[1]
    return None


def grant_usual_rights(path: Path) -> None:
    """Set the permissions that the umask allows: only the owner can read what mkdtemp and safetensors create."""
    usual = (0o777 if path.is_dir() else 0o666) & ~_umask()
    # A change of permissions, even to the same ones, would have to reach the disk once more.
    if stat.S_IMODE(path.stat().st_mode) != usual:
        path.chmod(usual)


def refuse_other_files(folder: Path, names: Collection[str], what: str) -> None:
    """Raise ValueError where ``folder`` exists and holds other files than ``names``, those of a ``what``."""
    if not folder.exists():
        return
    others = [path.name for path in folder.iterdir() if path.name not in names] if folder.is_dir() else ["it"]
    if others:
        raise ValueError(
            f"{folder} exists and is not a {what} ({sorted(others)[0]} would be deleted); choose another name"
        )


@contextmanager
def errors_naming(path: Path, unfinished: Path | None = None) -> Iterator[None]:
    """Context of a write: errors of the system name ``path``, not the ``unfinished`` file or folder, or no file."""
    try:
        yield
    except Exception as error:
        found = system_error(error)
        if found is None:
            raise
        name = str(found.filename or "")
        inside = name.removeprefix(str(unfinished)) if unfinished is not None else name
        if name and inside == name:
            raise  # of another file
        raise OSError(found.errno, found.strerror, f"{path}{inside}") from error


def _replace(target: Path, new: Path) -> None:
    """Give a new folder its name; an old one of that name gets the new one's, or is deleted."""
    if not target.exists():
        new.rename(target)
        return
    if _exchange(target, new):
        return
    old = _hidden_beside(target)
    target.rename(old)
    new.rename(target)
    shutil.rmtree(old)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange the names of two paths in one step; return False where system or file system cannot.

    Without it, a process that is killed between two renames leaves no folder of that name, and its old content in a
    folder whose name begins with a dot.
    """
    if sys.platform != "linux":
        return False
    system = ctypes.CDLL(None)
    if not hasattr(system, "renameat2"):  # glibc before 2.28
        return False
    paths = [ctypes.c_char_p(os.fsencode(path.absolute())) for path in (one, other)]
    return system.renameat2(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_EXCHANGE) == 0


def _hidden_beside(target: Path, suffix: str = "") -> Path:
    return target.with_name(f".{short_name(target.name)}.{secrets.token_hex(6)}{suffix}")


def flush(path: Path) -> None:
    """Wait until a file or folder is on disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot open folders
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    with _UMASK_LOCK:
        mask = os.umask(0)
        os.umask(mask)
    return mask
