"""The process that holds a lease, and whether it still runs."""

import contextlib
import json
import os
import secrets
import socket
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Holder:
    """The process that holds a lease."""

    host: str
    """Name of the host."""

    process_space: str
    """Where process ids can be compared: the boot of the host and the namespace of a container."""

    pid: int
    """Process id."""

    process_start: str
    """When the process started, as the system counts it; tells apart two processes with one id. Empty if unknown."""

    since: str
    """When the lease was taken, on the clock of the host."""

    token: str
    """Random name of this lease."""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def this_process() -> Holder:
    """Return the present process as the holder of a new lease."""
    return Holder(
        host=socket.gethostname(),
        process_space=_process_space(),
        pid=os.getpid(),
        process_start=_process_start(os.getpid()),
        since=time.strftime("%Y-%m-%d %H:%M:%S"),
        token=secrets.token_hex(6),
    )


def _process_space() -> str:
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):  # systems other than Linux
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def _process_start(pid: int) -> str:
    """Return when a process started; empty where the system does not say, "ended" for a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return ""
    return "ended" if fields[0] in (b"Z", b"X") else fields[19].decode("ascii")


def is_running(holder: Holder) -> bool | None:
    """Return whether the process runs; None where that cannot be known."""
    if holder.process_space != _process_space() or os.name == "nt":
        return None
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass  # of another user
    start = _process_start(holder.pid)
    return start == holder.process_start if start and holder.process_start else None


def parsed_holder(text: bytes) -> Holder | None:
    """Return the holder that a lease file names; None where it cannot be read."""
    try:
        holder = Holder(**json.loads(text))
    except (ValueError, TypeError, RecursionError):
        return None
    is_sound = type(holder.pid) is int and holder.pid > 0 and str(holder.token).isalnum() and len(holder.token) < 50
    return holder if is_sound else None
