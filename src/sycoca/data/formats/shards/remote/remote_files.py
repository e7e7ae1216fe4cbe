"""Shards in object storage and on web servers, read in ranges through fsspec (extra ``[remote]``)."""

import hashlib
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar, final

from sycoca.data.formats.shards.remote.piece_cache import FILE_DIGITS, Piece, PieceCache
from sycoca.data.formats.shards.shard_files import ShardState, names_inside
from sycoca.data.formats.shards.shard_names import expanded
from sycoca.texts import shortened

logger = logging.getLogger(__name__)

T = TypeVar("T")

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://.+")
_WEB = ("http://", "https://")

TRIES = 6
"""Times that a request is made before it is given up, with pauses of 0.5, 1, 2, 4 and 8 seconds between them."""

_FIRST_PAUSE_SECONDS = 0.5
_SECONDS_BETWEEN_MESSAGES = 2.0
_SECONDS_TO_CONNECT = 10.0
_SECONDS_BETWEEN_BYTES = 30.0
_REQUESTS_AT_ONCE = 16
_WAIT_AND_TRY_AGAIN = frozenset({408, 425, 429})
"""Statuses below 500 that pass."""

_VERSION_FIELDS = ("ETag", "etag", "generation", "version_id", "LastModified", "Last-Modified", "mtime", "created")
"""What file systems say about a file that changes with its content, the best first."""


_last_announced = [-_SECONDS_BETWEEN_MESSAGES]
"""When a failed request was logged last, by the clock that only goes on."""


def is_remote(path: str) -> bool:
    """Return whether a SPEC's path is an address such as ``s3://bucket/00000.tar``."""
    return _ADDRESS.fullmatch(path) is not None


@final
class RemoteShards:
    """Shards at addresses. A server that sends whole files only has each shard fetched into the cache once."""

    folder: Path | None = None
    """There is no folder on the disk."""

    def __init__(self, paths: Sequence[str], cache: PieceCache) -> None:
        self.paths = tuple(paths)
        self.names = names_inside(self.paths)
        self.cache = cache
        self._states: Sequence[ShardState] | None = None
        self.has_ranges = True
        """Whether the server sends ranges, as far as is known."""
        self._forget()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemoteShards) and self.paths == other.paths

    def __hash__(self) -> int:
        return hash((self.paths[:1], len(self.paths)))

    def __reduce__(self) -> tuple[Callable[..., "RemoteShards"], tuple[object, ...]]:
        return _again, (self.paths, self.cache, self._states, self.has_ranges)

    def states(self) -> Sequence[ShardState]:
        """Return size and version of all files."""
        with ThreadPoolExecutor(_REQUESTS_AT_ONCE) as pool:
            self._states = list(pool.map(self._state, self.paths))
        return self._states

    def read(self, shard: int, offset: int, size: int) -> bytes:
        """Return so many bytes of a file from an offset on."""
        length = self.state(shard).size
        stop = min(offset + size, length)
        if stop <= offset:
            return b""
        if self.has_ranges:
            content = self._content(shard, offset, stop)
            if len(content) == stop - offset:
                return content
            if len(content) != length:
                expected = f"{len(content):,} bytes instead of {stop - offset:,} from byte {offset:,} on"
                raise ConnectionError(f"{self.paths[shard]}: the server sent {expected}; has the file changed?")
            logger.warning("%s: the server sends whole files only; each is fetched once", self.paths[shard])
            self.has_ranges = False
        return self.cache.read(self.piece(shard, 0, length), self._whole, offset, stop - offset)

    def state(self, shard: int) -> ShardState:
        """Return what a file was when it was looked at first."""
        return (self.states() if self._states is None else self._states)[shard]

    def piece(self, shard: int, start: int, stop: int) -> Piece:
        """Return the name of a range of a file in the cache."""
        identity = f"{self.paths[shard]} {self.state(shard).version}"
        return Piece(hashlib.sha256(identity.encode()).hexdigest()[:FILE_DIGITS], shard, start, stop)

    def _whole(self, piece: Piece) -> bytes:
        return self._content(piece.shard, piece.start, piece.stop, in_range=False)

    def _content(self, shard: int, start: int, stop: int, *, in_range: bool = True) -> bytes:
        address = self.paths[shard]
        limits = {"start": start, "end": stop} if in_range else {}
        system = self._system(address)
        return retried(address, lambda: system.cat_file(address, **limits))

    def _state(self, address: str) -> ShardState:
        system = self._system(address)
        info: Mapping[str, Any] = retried(address, lambda: system.info(address))
        size = info.get("size")
        if not isinstance(size, int):
            raise ValueError(f"{address}: the server does not say how large it is")
        version = next((str(info[field]) for field in _VERSION_FIELDS if info.get(field)), "")
        return ShardState(size, int.from_bytes(hashlib.sha256(version.encode()).digest()[:7], "big"))

    def _system(self, address: str) -> Any:
        """Return this process's file system of fsspec; its connections do not outlive a fork."""
        if self._owner != os.getpid():
            self._forget()
        with self._lock:
            if self._opened is None:
                self._opened = file_system(address)
            return self._opened

    def _forget(self) -> None:
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._opened: Any = None


def _again(
    paths: Sequence[str], cache: PieceCache, states: Sequence[ShardState] | None, has_ranges: bool
) -> RemoteShards:
    """Return the shards in another process, without asking for their states again."""
    shards = RemoteShards(paths, cache)
    shards._states, shards.has_ranges = states, has_ranges
    return shards


def remote_paths(text: str) -> Sequence[str]:
    """Return the addresses of the tar files that a SPEC's path means; of a pattern or a folder those that there are.

    Raises ValueError where there are none, and where a web server would have to list its files.
    """
    if "{" in text or not ("*" in text or text.endswith("/")):
        return expanded(text)
    if text.startswith(_WEB):
        raise ValueError(f"{text}: web servers do not list their files; name them, as in https://host/{{000..099}}.tar")
    system = file_system(text)
    pattern = f"{text}*.tar" if text.endswith("/") else text
    paths = [system.unstrip_protocol(path) for path in sorted(retried(text, lambda: system.glob(pattern)))]
    if not paths:
        raise ValueError(f"{text}: there are no tar files")
    return paths


def file_system(address: str) -> Any:
    """Return fsspec's file system of an address. Raises ValueError where it, or a package that it needs, is missing."""
    try:
        from fsspec.core import url_to_fs

        return url_to_fs(address, **(_web_options() if address.startswith(_WEB) else {}))[0]
    except ImportError as error:
        missing = getattr(error.__cause__ or error, "name", None)
        package = "'sycoca[remote]'" if missing in (None, "fsspec", "aiohttp") else missing
        raise ValueError(f"{address} needs more packages ({_reason(error)}): pip install {package}") from error
    except ValueError as error:
        raise ValueError(f"{address} cannot be opened: {error}") from error


def _web_options() -> dict[str, Any]:
    """Return options by which a request to a web server fails soon where nothing comes, however large the file is."""
    from aiohttp import ClientTimeout

    timeout = ClientTimeout(total=None, sock_connect=_SECONDS_TO_CONNECT, sock_read=_SECONDS_BETWEEN_BYTES)
    return {"client_kwargs": {"timeout": timeout}}


def retried(address: str, request: Callable[[], T]) -> T:
    """Return the result of a request, which is made again after what may pass: time-outs, lost connections, status 5xx.

    Raises ValueError where there is no such file or access is denied, and ConnectionError after all tries.
    """
    for attempt in range(TRIES):
        try:
            return request()
        except Exception as error:
            reason = _reason(error)
            if _is_final(error):
                raise ValueError(f"{address} cannot be read: {reason}") from error
            if attempt == TRIES - 1:
                raise ConnectionError(f"{address} cannot be reached, tried {TRIES} times: {reason}") from error
            pause = _FIRST_PAUSE_SECONDS * 2**attempt
            _announced(f"{address}: {reason}; next try in {pause:g} s")
            time.sleep(pause)
    raise AssertionError("the last try returns or raises")


def _announced(message: str) -> None:
    """Log a message, but not one for each of many files that a server fails to send."""
    now = time.monotonic()
    is_soon = now - _last_announced[0] < _SECONDS_BETWEEN_MESSAGES
    logger.log(logging.DEBUG if is_soon else logging.INFO, message)
    if not is_soon:
        _last_announced[0] = now


def _is_final(error: BaseException) -> bool:
    """Return whether an error does not pass by waiting."""
    status = getattr(error, "status", None)
    if isinstance(status, int):
        return 400 <= status < 500 and status not in _WAIT_AND_TRY_AGAIN
    if error.__cause__ is not None:  # fsspec says of any failed look at a web server's file that it is not there
        return _is_final(error.__cause__)
    return isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError)


def _reason(error: BaseException) -> str:
    told = error if error.__cause__ is None else error.__cause__
    return shortened(" ".join(str(told).split()) or type(told).__name__)
