"""The machine: its description, its peak rates of matrix products and copies, and the memory of this process."""

import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from sycoca._version import __version__
from sycoca.experiments.benchmark.result import Setting
from sycoca.experiments.benchmark.settings import PEAK_ROWS, FloatPrecision
from sycoca.experiments.benchmark.timing import BenchmarkRow, seconds_per_call, synchronize
from sycoca.model.automatic_precision import DTYPE_OF_PRECISION
from sycoca.model.products import processor_name

MATRIX_SIDES = {"cpu": (1024, 2048, 3072)}
"""Sides of the square matrices to try, by type of device."""

MATRIX_SIDES_OF_ACCELERATORS = (2048, 4096, 8192)
"""The same for accelerators, which need larger matrices to be fully used."""

COPIED_BYTES = 256 * 2**20
"""Larger than the caches of a processor."""

_TRIES = 2


def describe_machine(device: torch.device) -> dict[str, Setting]:
    """Return processor, device, threads, operating system and versions."""
    return {
        "processor": processor_name(),
        "processors": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": str(device),
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "system": platform.system(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "sycoca": __version__,
    }


@contextmanager
def use_threads(count: int | None) -> Iterator[None]:
    """Set the number of PyTorch's threads, and restore it afterwards; None changes nothing."""
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def matrix_row(precision: FloatPrecision, device: torch.device) -> BenchmarkRow:
    """Return a row for the product of two square matrices, of the side with the highest rate on this machine."""
    sides = MATRIX_SIDES.get(device.type, MATRIX_SIDES_OF_ACCELERATORS)
    products = {side: _product(side, DTYPE_OF_PRECISION[precision], device) for side in sides}
    fastest = min(sides, key=lambda side: _best_seconds(products[side], device) / side**3)
    return BenchmarkRow(
        name=PEAK_ROWS[precision], call=products[fastest], items=1, unit="products", precision=precision
    )


def copy_row(device: torch.device) -> BenchmarkRow:
    """Return a row for the copy of one large tensor into another; every byte is read once and written once."""
    source = torch.ones(COPIED_BYTES // 4, device=device)
    target = torch.zeros_like(source)
    return BenchmarkRow(
        name="copy_rate", call=lambda: target.copy_(source), items=2 * COPIED_BYTES / 1e9, unit="GB", precision=None
    )


def used_bytes(device: torch.device) -> int | None:
    """Return the resident memory of this process, or PyTorch's allocated GPU memory; None where it is unknown."""
    match device.type:
        case "cpu":
            return _status_bytes("VmRSS")
        case "cuda":
            return torch.cuda.memory_allocated(device)
        case _:
            return None


def peak_bytes(call: Callable[[], object], device: torch.device) -> int | None:
    """Return the peak memory during a call, as ``used_bytes`` counts it; None where it is unknown."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        call()
        synchronize(device)
        return torch.cuda.max_memory_allocated(device)
    if device.type != "cpu" or not _peak_was_reset():
        return None
    call()
    return _status_bytes("VmHWM")


def _product(side: int, dtype: torch.dtype, device: torch.device) -> Callable[[], object]:
    generator = torch.Generator().manual_seed(side)
    left, right = (torch.randn(side, side, generator=generator).to(device, dtype) for _ in range(2))
    return lambda: left @ right


def _best_seconds(call: Callable[[], object], device: torch.device) -> float:
    call()
    return min(seconds_per_call(call, 1, device) for _ in range(_TRIES))


def _status_bytes(name: str) -> int | None:
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="ascii").splitlines() if status.exists() else []
    values = [line.split()[1] for line in lines if line.startswith(f"{name}:")]
    return int(values[0]) * 1024 if values else None


def _peak_was_reset() -> bool:
    """Reset Linux's peak of resident memory; return False where that is not supported or not permitted."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True
