"""The rule for everything that is written: check it before the work begins, then hold it until the work ends."""

import contextlib
import os
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Literal, NamedTuple, assert_never, final

from sycoca.file_names import SUFFIXES_IN_FOLDERS, has_suffix
from sycoca.outputs.disk_full import disk_full_reason
from sycoca.outputs.errors import DiskFullError, OutputError, OutputInterrupted, Remains
from sycoca.outputs.lease import Lease, lease_beside, lease_inside
from sycoca.outputs.manifest import MANIFEST_NAME, DamageError, Manifest
from sycoca.stop_signals import number_of

OutputKind = Literal["file", "growing file", "folder", "growing folder", "files in a folder"]
"""A file or folder that appears at the end, as a whole; a file of lines, or a folder of files, which ``resume``
continues; or files that are written one by one into a folder, which may hold others."""


class _Traits(NamedTuple):
    is_folder: bool
    is_whole: bool
    """Whether it appears at the end, and nothing of it before."""

    can_resume: bool
    """Whether ``resume`` continues what an interrupted program has written."""

    @property
    def holds_no_others(self) -> bool:
        """Whether it is a folder that holds nothing but the files that are written into it."""
        return self.is_folder and (self.is_whole or self.can_resume)


_TRAITS: Mapping[OutputKind, _Traits] = {
    "file": _Traits(is_folder=False, is_whole=True, can_resume=False),
    "growing file": _Traits(is_folder=False, is_whole=False, can_resume=True),
    "folder": _Traits(is_folder=True, is_whole=True, can_resume=False),
    "growing folder": _Traits(is_folder=True, is_whole=False, can_resume=True),
    "files in a folder": _Traits(is_folder=True, is_whole=False, can_resume=False),
}


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Output:
    """A file or folder that is about to be written."""

    path: Path
    """The path as the user named it."""

    kind: OutputKind = "file"
    """What appears there, and how."""

    names: Collection[str] = ()
    """Of a folder: the names of the files that are written into it. A "folder" or "growing folder" may hold no others,
    hidden ones aside."""

    noun: str = "file"
    """What messages call it, such as "weights folder"."""

    suffixes: tuple[str, ...] = ()
    """Of a file: the suffixes that it may have, in lower case; empty for any."""

    inputs: tuple[Path, ...] = ()
    """What the output is made from, which it must not replace."""

    overwrite: bool = False
    """Whether something that is there already is replaced."""

    resume: bool = False
    """Whether what is there already is continued."""

    resume_command: str | None = None
    """Of a run: the command that continues it."""

    def check(self) -> None:
        """Raise OutputError, in one line, where the output exists or cannot be written; leave nothing behind."""
        if self.overwrite and self.resume:
            raise OutputError(f"{self.path} is resumed or overwritten: give --resume or --overwrite, not both")
        if self.suffixes and not has_suffix(self.path, *self.suffixes):
            raise OutputError(f"{self.path} must end with {_either(self.suffixes)}")
        try:
            self._check_kind()
            self.check_inputs()
            self._check_existing()
            _check_writable(self.path)
            if self.resume and self.path.exists() and not os.access(self.path, os.W_OK):
                raise OutputError(f"{self.path} cannot be resumed: it is read-only")
        except OSError as error:  # a name that is too long, a folder that may not be read
            raise OutputError(f"{self.path} cannot be written: {error.strerror or error}") from error

    @contextmanager
    def claim(self) -> Iterator[Lease]:
        """Context for the work: check the output, and hold it against other processes until the block ends.

        Missing parent folders are created, and removed again where nothing was written. Raises OutputError as `check`
        does, and where another process holds the output; after Ctrl-C OutputInterrupted, and DiskFullError where there
        is no space for the output or for a file beside it; both say what is left.
        """
        self.check()
        is_inside = self._traits.is_folder and not self._traits.is_whole
        lease = lease_inside(self.path) if is_inside else lease_beside(self.path)
        with _created(lease.parent), ExitStack() as stack:
            try:
                held = stack.enter_context(Lease(lease, self.path))
            except OSError as error:
                raise OutputError(f"{self.path} cannot be written: {error.strerror or error}") from error
            before = None
            try:
                # Once more: another process may have finished it since.
                self._check_existing()
                before = _state(self.path)
                yield held
            except OutputInterrupted:
                raise
            except KeyboardInterrupt as interrupt:
                raise OutputInterrupted(self._remains(before), number_of(interrupt)) from None
            except Exception as error:
                reason = disk_full_reason(error)
                if reason is None:
                    raise
                raise DiskFullError(reason, self._remains(before)) from error

    def existing(self) -> Path | None:
        """Return what would be overwritten; None where nothing is."""
        match self.kind:
            case "file" | "growing file":
                return self.path if os.path.lexists(self.path) else None
            case "folder":
                return self.path if self.path.is_dir() and any(self.path.iterdir()) else None
            case "growing folder":
                return self.path if any(map(_is_shown, _listed(self.path))) else None
            case "files in a folder":
                return next((self.path / name for name in self.names if (self.path / name).exists()), None)
            case unknown:
                assert_never(unknown)

    @property
    def _traits(self) -> _Traits:
        return _TRAITS[self.kind]

    def _check_kind(self) -> None:
        is_folder = self._traits.is_folder
        if is_folder and self.path.exists() and not self.path.is_dir():
            raise OutputError(f"{self.path} is a file; name a folder")
        if is_folder or not self.path.exists():
            return
        if self.path.is_dir():
            raise OutputError(f"{self.path} is a folder; name a file")
        if not self.path.is_file():
            raise OutputError(f"{self.path} is a device or pipe; name a file")

    def check_inputs(self) -> None:
        """Raise OutputError where the output would replace what it is made from."""
        for path, source in product(self._written(), map(Path, map(os.path.realpath, self.inputs))):
            target = Path(os.path.realpath(path))
            contains = self._traits.holds_no_others and target in source.parents
            is_part = _is_listed(target, source) or _is_read_from(target, source)
            if source == target or contains or is_part or _is_same_file(target, source):
                raise OutputError(f"{path} would replace what it is made from; choose another name")

    def _check_existing(self) -> None:
        found = self.existing()
        is_growing_folder = self._traits.is_folder and self._traits.can_resume
        if found is None or (self.resume and not is_growing_folder):
            return
        if self._traits.holds_no_others:
            others = self._others()
            if others:
                fate = "is in it" if self.resume else "would be deleted"
                raise OutputError(
                    f"{self.path} is there already and is not a {self.noun} ({others[0]} {fate}); choose another name"
                )
        if not self.overwrite and not self.resume:
            resume = "--resume continues it, " if self._traits.can_resume else ""
            raise OutputError(f"{found} is there already; {resume}--overwrite replaces it, or choose another name")

    def _written(self) -> list[Path]:
        """Return the files that are written, or the folder that holds nothing else."""
        if self._traits.is_folder and not self._traits.holds_no_others:
            return [self.path / name for name in self.names]
        return [self.path]

    def _others(self) -> list[str]:
        """Return the names of files of other kinds, in a folder that holds none."""
        paths = _listed(self.path) if self._traits.is_whole else filter(_is_shown, _listed(self.path))
        return sorted(path.name for path in paths if path.name not in self.names)

    def _remains(self, before: tuple[int, ...] | None) -> Remains:
        if self.existing() is None:
            return Remains(path=self.path, state="was not written")
        if self.resume_command is not None:
            return Remains(path=self.path, state="has what was done", command=self.resume_command)
        if _state(self.path) == before:
            return Remains(path=self.path, state="is as it was before")
        match self.kind:
            case "file" | "folder":
                return Remains(path=self.path, state="was written")
            case "growing file" | "growing folder":
                return Remains(path=self.path, state="has what was done", can_resume=True)
            case "files in a folder":
                return Remains(path=self.path, state="has the files that were complete")
            case unknown:
                assert_never(unknown)


@contextmanager
def claimed(*outputs: Output | None) -> Iterator[list[Lease | None]]:
    """Context for the work on several outputs, see `Output.claim`; None is an output that is not wanted."""
    wanted = [output for output in outputs if output is not None]
    paths = [os.path.realpath(output.path) for output in wanted]
    for output, path in zip(wanted, paths, strict=True):
        output.check()
        if paths.count(path) > 1:
            raise OutputError(f"{output.path} is named for two outputs; choose another name for one")
    with ExitStack() as stack:
        yield [None if output is None else stack.enter_context(output.claim()) for output in outputs]


def _check_writable(path: Path) -> None:
    """Raise where nothing can be created at a path: in it where it is a folder, else in the nearest one above."""
    folder = Path(os.path.realpath(path))
    if not folder.is_dir():
        folder = next(parent for parent in folder.parents if os.path.lexists(parent))
    if not folder.is_dir():
        raise OutputError(f"{path} cannot be written: {folder} is not a folder")
    with contextlib.suppress(FileNotFoundError):
        path.lstat()  # raises for a name that is too long
    with tempfile.TemporaryFile(dir=folder):
        pass


def _listed(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _is_same_file(one: Path, other: Path) -> bool:
    """Return whether two names are those of one file: hard links."""
    return one.is_file() and other.is_file() and one.samefile(other)


def _is_listed(path: Path, folder: Path) -> bool:
    """Return whether a file is one of those that a folder's manifest lists, such as weights, or the manifest itself."""
    try:
        return path.parent == folder and path.name in (*Manifest.read(folder).files, MANIFEST_NAME)
    except DamageError:  # there is none
        return False


def _is_read_from(path: Path, folder: Path) -> bool:
    """Return whether a file is an image or a shard somewhere in a folder, which is read where that is data."""
    return folder in path.parents and has_suffix(path, *SUFFIXES_IN_FOLDERS) and path.is_file()


def _is_shown(path: Path) -> bool:
    """Return whether a file is not hidden, as leases and unfinished files are."""
    return not path.name.startswith(".")


def _either(words: Sequence[str]) -> str:
    *others, last = words
    return f"{', '.join(others)} or {last}" if others else last


def _state(path: Path) -> tuple[int, ...] | None:
    """Return what changes when a file or folder is written; None where there is none."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


@contextmanager
def _created(folder: Path) -> Iterator[None]:
    """Create a folder with its parents, and remove those that are empty at the end."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        for one in missing:
            with contextlib.suppress(OSError):  # not empty
                one.rmdir()
