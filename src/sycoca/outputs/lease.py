"""Leases: of several processes, also of several hosts that share a folder, only one writes an output.

A lease is a small JSON file beside or inside the output: host, process and start of its holder, and a random token. Its
modification time is the heartbeat, which a thread renews. A lease is abandoned where its holder is a process of this
host that has ended, or where the heartbeat is old; then the next process takes it over. Of a holder on another host
it first waits for the next heartbeat. Ages are differences between times that the file system sets, so clocks of hosts
need not agree.

Files are created by hard links, which are atomic on NFS too; locks of the operating system are not trusted. A lease is
taken over under a second lease that is named after the token of the first: of several processes that see one abandoned
lease, one gets it, and the others find another token.
"""

import contextlib
import hashlib
import json
import logging
import os
import secrets
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import final

from sycoca.outputs.errors import LeaseHeldError, LeaseLostError
from sycoca.outputs.hidden_names import short_name
from sycoca.outputs.holder import Holder, is_running, parsed_holder, this_process

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 15.0
"""Time between two heartbeats."""

OLD_SECONDS = 120.0
"""Age from which on a heartbeat counts as stopped."""

_POLL_SECONDS = 0.5
_MAX_ATTEMPTS = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class _Found:
    """A lease file as it is found."""

    holder: Holder | None
    """None where the file cannot be read: a process was killed while it wrote, or the file is of another program."""

    token: str
    renewed_at: float
    age: float
    """Seconds since the heartbeat."""

    def __str__(self) -> str:
        return "an unknown process" if self.holder is None else str(self.holder)

    @property
    def is_running(self) -> bool | None:
        """Whether the holder runs; None where that cannot be known from here."""
        return None if self.holder is None else is_running(self.holder)

    @property
    def end(self) -> str | None:
        """How the holder was lost; None while the lease is held."""
        is_running = self.is_running
        if is_running is None:
            # A heartbeat of the future is of a clock that was wrong: its holder would have renewed it since.
            return None if abs(self.age) < OLD_SECONDS else "has not been heard of for too long"
        return None if is_running else "has ended"


@final
class Lease:
    """Context that holds a lease; entering raises OutputError where another process holds it."""

    def __init__(self, path: Path, output: Path, *, waits: bool = True) -> None:
        """Name the lease file and the ``output`` that it is for, which messages name.

        ``waits``: a lease of another host whose heartbeat is not old is refused after its next heartbeat; without it
        at once, for who has other work until the lease is abandoned.
        """
        self.path = path
        self._waits = waits
        self._output = output
        self._holder = this_process()
        self._text = json.dumps(asdict(self._holder), indent=1).encode() + b"\n"
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._seen_at = time.time()
        self._is_lost = False

    def __enter__(self) -> "Lease":
        try:
            self._acquire()
            threading.Thread(target=self._renew, name=f"lease of {self._output}", daemon=True).start()
        except BaseException:  # a signal to stop may come once the file is there
            self.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Release the output; any thread may call this once nothing more is written."""
        self._ended.set()
        if os.getpid() != self._holder.pid:
            return  # a forked process holds nothing
        with self._lock, contextlib.suppress(OSError):
            found = _read(self.path)
            # Near its end it is left to expire: another process may be taking it over at this moment.
            if found is not None and found.token == self._holder.token and abs(found.age) < OLD_SECONDS / 2:
                self.path.unlink()

    def check(self) -> None:
        """Raise LeaseLostError where another process has taken the lease over; cheap enough for every write."""
        if not self._is_lost and abs(time.time() - self._seen_at) > 2 * HEARTBEAT_SECONDS:
            self._look()  # the process was stopped, and its heartbeat with it
        if self._is_lost:
            raise LeaseLostError(
                f"{self._output} was taken over by another process, since this one was not heard of for"
                f" {OLD_SECONDS:g} seconds; nothing more is written to it"
            )

    def _acquire(self) -> None:
        for _ in range(_MAX_ATTEMPTS):
            if create_once(self.path, self._text):
                return
            found = _read(self.path)
            if found is None:
                continue  # released a moment ago
            if found.end is None and (found.is_running or not self._waits or self._beats(found)):
                raise LeaseHeldError(self._refusal(found))
            if found.end is not None and self._take_over(found):
                return
        raise LeaseHeldError(f"{self._output} is being written by other processes; choose another name")

    def _beats(self, old: _Found) -> bool:
        """Wait for the next heartbeat; return whether there was one before the lease became old or another one."""
        logger.warning("%s: waiting for up to %g seconds, to see whether %s still runs", self._output, OLD_SECONDS, old)
        found: _Found | None = old
        while found is not None and found.token == old.token and found.end is None:
            if found.renewed_at != old.renewed_at:
                return True
            time.sleep(_POLL_SECONDS)
            found = _read(self.path)
        return False

    def _take_over(self, old: _Found) -> bool:
        with Lease(self.path.with_name(f"{self.path.name}.{old.token}"), self._output):
            found = _read(self.path)
            if found is None or found.token != old.token or found.end is None:
                return False  # another process was faster, or the holder is back
            _written_beside(self.path, self._text).replace(self.path)
        logger.warning("%s: taken over from %s, which %s", self._output, old, old.end)
        return True

    def _refusal(self, found: _Found) -> str:
        holder, own = found.holder, self._holder
        is_own = holder is not None and (holder.pid, holder.process_space) == (own.pid, own.process_space)
        if is_own:
            return f"{self._output} is being written by this very process; choose another name"
        since = "" if holder is None else f", since {holder.since}"
        return f"{self._output} is being written by {found}{since}; wait for it, or choose another name"

    def _renew(self) -> None:
        while not self._ended.wait(HEARTBEAT_SECONDS) and not self._is_lost:
            self._look()

    def _look(self) -> None:
        """Renew the heartbeat if the lease is still this process's; create it again if somebody has deleted it."""
        with self._lock, contextlib.suppress(OSError):  # such as a network that is down for a moment
            if self._ended.is_set():
                return
            found = _read(self.path)
            is_own = found.token == self._holder.token if found else create_once(self.path, self._text)
            if is_own:
                os.utime(self.path)
            self._is_lost = not is_own
            self._seen_at = time.time()


def lease_beside(path: Path) -> Path:
    """Return the lease file of a file, or of a folder that is replaced as a whole: a hidden file beside it."""
    target = Path(os.path.realpath(path))
    return target.with_name(f".{short_name(target.name)}.lease")


def lease_inside(folder: Path) -> Path:
    """Return the lease file of a folder that grows, such as a run folder."""
    return folder / ".lease"


def _read(path: Path) -> _Found | None:
    """Read a lease file and its age; None where there is none."""
    try:
        with path.open("rb") as file:  # opening asks an NFS server for the newest state
            text, renewed_at = file.read(10_000), os.fstat(file.fileno()).st_mtime
    except FileNotFoundError:
        return None
    holder = parsed_holder(text)
    token = hashlib.sha256(text).hexdigest()[:12] if holder is None else holder.token
    with tempfile.TemporaryFile(dir=path.parent) as probe:
        age = os.fstat(probe.fileno()).st_mtime - renewed_at
    return _Found(holder=holder, token=token, renewed_at=renewed_at, age=age)


def create_once(path: Path, text: bytes) -> bool:
    """Create a file with its content at once; return whether it did not exist.

    Of several processes one gets True, on any host.
    """
    new = _written_beside(path, text)
    try:
        os.link(new, path)
        return True
    except FileExistsError:
        return new.stat().st_nlink == 2  # NFS repeats a request whose answer was lost
    except OSError:  # a file system without hard links
        return _create_without_links(path, text)
    finally:
        new.unlink()


def _create_without_links(path: Path, text: bytes) -> bool:
    with contextlib.suppress(FileExistsError), path.open("xb") as file:
        file.write(text)
        return True
    return False


def _written_beside(path: Path, text: bytes) -> Path:
    """Write a new file with a hidden name of its own in the same folder; nothing is left where that fails."""
    new = path.with_name(f".{path.name.removeprefix('.')}.{secrets.token_hex(6)}.new")
    try:
        with new.open("xb") as file:  # not flushed to disk: after a crash of the host an empty lease is as good
            file.write(text)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    return new
