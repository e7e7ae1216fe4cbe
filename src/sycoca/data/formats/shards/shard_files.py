"""Bytes of shards: the files of a source, what tells that one has changed, and reads at any offset."""

import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, final, runtime_checkable

CAN_READ_AHEAD = hasattr(os, "posix_fadvise")
"""Whether this system reads ahead when asked to; macOS and Windows do not."""

_MOST_OPEN = 64
"""Files that a process keeps open."""


class ShardState(NamedTuple):
    """What identifies the content of a shard without reading it."""

    size: int
    """Bytes of the file."""

    version: int
    """Its modification time in nanoseconds, or another number that changes with its content."""


@runtime_checkable
class ShardFiles(Protocol):
    """The files of a source of shards, numbered in order; threads and forked processes may use one object."""

    @property
    def names(self) -> Sequence[str]:
        """Names that tell the files of a source apart ("00017.tar")."""
        ...

    @property
    def paths(self) -> Sequence[str]:
        """Paths or addresses of the files, for messages."""
        ...

    @property
    def folder(self) -> Path | None:
        """The folder that contains all files, in which their index may be; None where they are not on the disk."""
        ...

    def states(self) -> Sequence[ShardState]:
        """Return the present state of all files. Raises ValueError, naming it, where one cannot be reached."""
        ...

    def read(self, shard: int, offset: int, size: int) -> bytes:
        """Return so many bytes of a file from an offset on, or fewer at its end. Raises OSError."""
        ...


@final
class LocalShards:
    """Shards on the disk."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = tuple(paths)
        self.folder = Path(os.path.commonpath(sorted({os.path.dirname(os.path.abspath(path)) for path in paths})))
        self.names = names_inside(self.paths)
        self._forget()

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, LocalShards) and self.paths == other.paths)

    def __hash__(self) -> int:
        return hash((self.paths[:1], len(self.paths)))

    def __reduce__(self) -> tuple[type["LocalShards"], tuple[Sequence[str]]]:
        return LocalShards, (self.paths,)

    def states(self) -> Sequence[ShardState]:
        """Return size and modification time of all files."""
        return [_state(path) for path in self.paths]

    def read(self, shard: int, offset: int, size: int) -> bytes:
        """Return so many bytes of a file from an offset on."""
        file = self._file(shard)
        data = file.read(size, offset)
        # The system returns at most 2 GiB at once, and less where a signal arrives.
        while len(data) < size and (more := file.read(size - len(data), offset + len(data))):
            data += more
        return data

    def will_need(self, shard: int, offset: int, size: int) -> None:
        """Ask the system to read a range of a file into its page cache; see `CAN_READ_AHEAD`. Raises OSError."""
        file = self._file(shard)  # held, so that no other thread closes it meanwhile
        os.posix_fadvise(file.descriptor, offset, size, os.POSIX_FADV_WILLNEED)

    def _file(self, shard: int) -> "_OpenFile":
        if self._owner != os.getpid():
            self._forget()  # a thread of the parent may have held the lock when this process was forked
        with self._lock:
            file = self._open.pop(shard, None)
            if file is None:
                file = _OpenFile(self.paths[shard])
                while len(self._open) >= _MOST_OPEN:
                    self._open.popitem(last=False)
            self._open[shard] = file
            return file

    def _forget(self) -> None:
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._open: OrderedDict[int, _OpenFile] = OrderedDict()


@final
class _OpenFile:
    """A file that is closed when nobody, in any thread, reads from it any more."""

    def __init__(self, path: str) -> None:
        self.descriptor = -1
        self.descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0))
        self._lock = threading.Lock()

    def read(self, size: int, offset: int) -> bytes:
        """Return up to so many bytes from an offset on."""
        if hasattr(os, "pread"):
            return os.pread(self.descriptor, size, offset)
        with self._lock:  # Windows has one position for all threads
            os.lseek(self.descriptor, offset, os.SEEK_SET)
            return os.read(self.descriptor, size)

    def __del__(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)


def names_inside(paths: Sequence[str]) -> tuple[str, ...]:
    """Return the paths without the folder that contains all files."""
    folders = {os.path.dirname(path) for path in paths}
    if len(folders) == 1:
        return tuple(os.path.basename(path) for path in paths)
    common = os.path.commonpath(sorted(folders))
    return tuple(Path(os.path.relpath(path, common)).as_posix() for path in paths)


def _state(path: str) -> ShardState:
    try:
        status = os.stat(path)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    return ShardState(status.st_size, status.st_mtime_ns)
