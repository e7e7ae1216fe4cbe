"""Runs a function in a forked child and measures its time and memory above that of the parent."""

import ctypes
import os
import pickle
import re
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

MIB = 2**20

_M_MMAP_THRESHOLD, _M_MMAP_MAX = -3, -4
"""Parameters of glibc's mallopt."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What a call in a child of this process did."""

    result: object
    """What the function returned; None where it raised or was killed."""

    error: str | None
    """The class of the exception and its message; None where there was none."""

    seconds: float
    """Processor time of the call, which other processes disturb least; of a killed one the time until then."""

    extra_bytes: int
    """Peak of its resident memory above that before the call."""


def run_forked(function: Callable[[], object], timeout: float = 30.0) -> Measured:
    """Call a function in a forked child; one that takes longer than ``timeout`` seconds is killed."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        with os.fdopen(writing, "wb") as pipe:
            pickle.dump(_measured(function), pipe)
        os._exit(0)
    os.close(writing)
    started = time.perf_counter()
    with os.fdopen(reading, "rb") as pipe:
        signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
        signal.setitimer(signal.ITIMER_REAL, timeout)
        try:
            data = pipe.read()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    os.waitpid(child, 0)
    if not data:
        return Measured(result=None, error="killed", seconds=time.perf_counter() - started, extra_bytes=0)
    return pickle.loads(data)


def _measured(function: Callable[[], object]) -> Measured:
    _return_freed_memory()
    before = _memory("VmRSS")
    # Sets the peak back to what is used now.
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    started = time.process_time()
    result, error = None, None
    try:
        result = function()
    except BaseException as raised:  # noqa: BLE001 (what it raises is what is looked at)
        error = f"{type(raised).__name__}: {raised}"
    seconds = time.process_time() - started
    return Measured(result=result, error=error, seconds=seconds, extra_bytes=_memory("VmHWM") - before)


def _return_freed_memory() -> None:
    """Undo what training in this process has asked of glibc: a test measures the same wherever in a suite it runs."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 65_536)
        mallopt(_M_MMAP_THRESHOLD, 128 * 1024)


def _memory(field: str) -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(rf"{field}:\s*(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024
