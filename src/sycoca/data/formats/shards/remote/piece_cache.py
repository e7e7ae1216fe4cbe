"""A bounded folder of pieces of remote files, which all processes of a machine share.

A piece appears whole, by renaming. While one process fetches it, the others wait for it or do something else; who
fetches is told by a file beside it, which is taken over where its process has ended.
"""

import contextlib
import os
import re
import secrets
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import final

from sycoca.outputs.atomic import errors_naming
from sycoca.outputs.disk_full import disk_full_reason

MAX_BYTES = 32 * 10**9
"""Size of the cache where a SPEC says nothing; at most half of the space that is free."""

_POLL_SECONDS = 0.002
_OLD_SECONDS = 300.0
"""Age from which on the fetch of another process counts as lost."""

_PIECES_BETWEEN_LOOKS = 32
_KEPT = 0.9
"""Fraction of the size that is kept when the oldest pieces are deleted."""

_KEPT_WHERE_FULL = 0.5
"""Fraction of the pieces that are kept where the disk is full."""

FILE_DIGITS = 20
"""Number of hexadecimal digits that identify a file in the names of its pieces."""

_PIECE = rf"[0-9a-f]{{{FILE_DIGITS}}}-\d+-\d+"
_OWN_NAME = re.compile(rf"{_PIECE}|\.{_PIECE}\.(claim|[0-9a-f]{{8}})")
"""The names of pieces, of claims and of what is not finished: a folder that a SPEC names may hold other files too."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A range of bytes of a remote file."""

    file: str
    """What identifies the file and its version: `FILE_DIGITS` hexadecimal digits."""

    shard: int
    """The file's number in its source."""

    start: int
    """The first byte."""

    stop: int
    """The byte behind the last one."""

    @property
    def name(self) -> str:
        """Name of its file in the cache."""
        return f"{self.file}-{self.start}-{self.stop - self.start}"


Fetch = Callable[[Piece], bytes]
"""Returns the bytes of a piece from its server."""


@final
class PieceCache:
    """The pieces in a folder."""

    def __init__(self, folder: Path, max_bytes: int | None = None) -> None:
        """Use a folder, which is created for its owner alone. Raises ValueError where it belongs to somebody else."""
        self.folder = folder
        self.max_bytes = max_bytes
        self._num_stored = 0
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if hasattr(os, "getuid") and folder.stat().st_uid != os.getuid():
            raise ValueError(f"{folder} belongs to another user; name a folder for pieces of shards with ?cache=DIR")

    def __reduce__(self) -> tuple[type["PieceCache"], tuple[Path, int | None]]:
        return PieceCache, (self.folder, self.max_bytes)

    def read(self, piece: Piece, fetch: Fetch, offset: int, size: int) -> bytes:
        """Return bytes of the file within a piece, which is fetched where it is not here."""
        while True:
            content = self._stored(piece, offset, size)
            if content is not None:
                return content
            if (fetched := self.fetch(piece, fetch)) is not None:
                return fetched[offset - piece.start : offset - piece.start + size]
            time.sleep(_POLL_SECONDS)

    def has(self, piece: Piece) -> bool:
        """Return whether a piece is here."""
        return (self.folder / piece.name).exists()

    def fetch(self, piece: Piece, fetch: Fetch) -> bytes | None:
        """Fetch a piece and return its bytes; None where it is here, or another process or thread fetches it."""
        claim = self.folder / f".{piece.name}.claim"
        if self.has(piece) or not _claimed(claim):
            return None
        try:
            if self.has(piece):
                return None
            content = fetch(piece)
            if len(content) != piece.stop - piece.start:
                raise ConnectionError(f"{len(content):,} bytes came instead of {piece.stop - piece.start:,}")
            self._store(piece, content)
            return content
        finally:
            claim.unlink(missing_ok=True)

    def remove(self, piece: Piece) -> None:
        """Delete a piece that is not needed any more."""
        (self.folder / piece.name).unlink(missing_ok=True)

    def _stored(self, piece: Piece, offset: int, size: int) -> bytes | None:
        try:
            with (self.folder / piece.name).open("rb", buffering=0) as file:
                if os.fstat(file.fileno()).st_size == piece.stop - piece.start:
                    return os.pread(file.fileno(), size, offset - piece.start)
        except FileNotFoundError:
            return None
        self.remove(piece)  # cut short by a crash of the machine
        return None

    def _store(self, piece: Piece, content: bytes) -> None:
        if self._num_stored % _PIECES_BETWEEN_LOOKS == 0:
            self._make_room()
        self._num_stored += 1
        try:
            self._write(piece, content)
        except OSError as error:
            if disk_full_reason(error) is None:
                raise
            self._make_room(_KEPT_WHERE_FULL)  # others have filled the disk since the last look
            self._write(piece, content)

    def _write(self, piece: Piece, content: bytes) -> None:
        path = self.folder / piece.name
        unfinished = self.folder / f".{piece.name}.{secrets.token_hex(4)}"
        with errors_naming(path, unfinished):
            try:
                unfinished.write_bytes(content)
                unfinished.replace(path)
            finally:
                unfinished.unlink(missing_ok=True)

    def _make_room(self, fraction: float = 1.0) -> None:
        """Delete the oldest pieces, also what killed processes have left, where all take more than the cache may.

        The cache may take no more than a ``fraction`` of what it takes now.
        """
        found: list[tuple[float, int, str]] = []
        for entry in os.scandir(self.folder):
            with contextlib.suppress(FileNotFoundError):
                if _OWN_NAME.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                    found.append(((status := entry.stat()).st_mtime, status.st_size, entry.path))
        total = sum(size for _, size, _ in found)
        most = min(self.limit(total), fraction * total)
        if total <= most:
            return
        for _, size, path in sorted(found):
            Path(path).unlink(missing_ok=True)
            total -= size
            if total <= _KEPT * most:
                return

    def limit(self, used: int = 0) -> int:
        """Return how many bytes the cache may take, of which ``used`` are taken."""
        if self.max_bytes is not None:
            return self.max_bytes
        status = os.statvfs(self.folder)
        return min(MAX_BYTES, (used + status.f_bavail * status.f_frsize) // 2)


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheOptions:
    """What a SPEC says about the cache."""

    folder: Path | None = None
    """The folder; None for one on this machine's own disk."""

    gigabytes: int | None = None
    """Its size; None for `MAX_BYTES`, or half of the space that is free."""

    def open(self) -> PieceCache:
        """Return the cache, whose folder is created."""
        max_bytes = None if self.gigabytes is None else self.gigabytes * 10**9
        return PieceCache(_default_folder() if self.folder is None else self.folder, max_bytes)


def _default_folder() -> Path:
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    return Path(tempfile.gettempdir()) / f"sycoca-shards-{user}"


def _claimed(claim: Path) -> bool:
    """Create a file that tells others of a fetch; return whether it was not there, or its process has ended."""
    own = f"{os.getpid()}\n"
    try:
        with claim.open("x", encoding="ascii") as file:
            file.write(own)
        return True
    except FileExistsError:
        pass
    except OSError as error:
        if disk_full_reason(error) is None:
            raise
        claim.unlink(missing_ok=True)  # an empty one would keep others waiting
        return True  # room is made once the piece is there
    with contextlib.suppress(FileNotFoundError):
        if not _is_running(claim.read_text(encoding="ascii")) or time.time() - claim.stat().st_mtime > _OLD_SECONDS:
            claim.write_text(own, encoding="ascii")  # two processes that fetch the same piece do no harm
            return True
    return False


def _is_running(line: str) -> bool:
    """Return whether the process of a claim runs; one that is being written is that of a running process."""
    if not line.endswith("\n"):
        return True
    try:
        os.kill(int(line), 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # in another container
        return True
    return True
