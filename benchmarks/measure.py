"""Duration of one call, and the resident memory that it peaks at or leaves."""

import ctypes
import gc
import time
from collections.abc import Callable
from pathlib import Path


def seconds(call: Callable[[], object]) -> float:
    """Return how long a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def peak_bytes(call: Callable[[], object]) -> int:
    """Return the peak of resident memory during the call, above its value before (Linux)."""
    before = _resident_bytes()
    Path("/proc/self/clear_refs").write_text("5")
    call()
    return _status_bytes("VmHWM") - before


def kept_bytes(call: Callable[[], object]) -> int:
    """Return how much resident memory what a call returns takes, with what importing for it has left (Linux)."""
    before = _resident_bytes()
    kept = call()
    after = _resident_bytes()
    del kept
    return after - before


def _resident_bytes() -> int:
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return _status_bytes("VmRSS")


def _status_bytes(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {name}")
