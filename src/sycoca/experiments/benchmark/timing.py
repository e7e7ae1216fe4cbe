"""Interleaved timing: every round runs each row once, so that other load on the machine affects all rows equally."""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from rich.console import Console
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count
from torch.utils.module_tracker import ModuleTracker

from sycoca.experiments.benchmark.result import RowResult
from sycoca.experiments.benchmark.settings import FloatPrecision
from sycoca.progress_bar import tracked

Shape = tuple[int, ...] | torch.Size

SHORTEST_RUN_SECONDS = 0.1
"""Shorter calls are repeated within a run, since the clock's resolution and system noise would dominate one call."""


def _forward_flop(query: Shape, key: Shape, value: Shape, *_: object, **__: object) -> int:
    return sdpa_flop_count(query, key, value)


def _backward_flop(gradient: Shape, query: Shape, key: Shape, value: Shape, *_: object, **__: object) -> int:
    return sdpa_backward_flop_count(gradient, query, key, value)


# PyTorch's counter covers only the attention kernels of GPUs; the CPU's computes the same products.
_CPU_ATTENTION = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _forward_flop,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _backward_flop,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchmarkRow:
    """A function to time."""

    name: str
    """Name of the row, a key of ``ROWS``."""

    call: Callable[[], object]
    """The function; one call is one unit of work."""

    items: int | float
    """Number of items that one call processes, in ``unit``."""

    unit: str
    """Unit of the items, in the plural."""

    precision: FloatPrecision | None
    """Precision of its matrix products; None where it has none, and then no operations are counted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _WarmRow:
    """A row after its warm-up."""

    row: BenchmarkRow
    gflop: float | None
    calls_per_run: int


def measure(
    rows: Sequence[BenchmarkRow], *, runs: int, device: torch.device, console: Console | None = None
) -> dict[str, RowResult]:
    """Warm up every row, then run all rows once per round for ``runs`` rounds; return the seconds of one call."""
    warming = tracked(rows, len(rows), "warming up", console=console)
    warm_rows = [_warmed_up(row, device) for row in warming]
    seconds: dict[str, list[float]] = {row.name: [] for row in rows}
    turns = [warm for _ in range(runs) for warm in warm_rows]
    for warm in tracked(turns, len(turns), "measuring", console=console):
        seconds[warm.row.name].append(seconds_per_call(warm.row.call, warm.calls_per_run, device))
    return {warm.row.name: _result(warm, seconds[warm.row.name]) for warm in warm_rows}


def seconds_per_call(call: Callable[[], object], times: int, device: torch.device) -> float:
    """Return the mean seconds of ``times`` consecutive calls, until the device has finished."""
    synchronize(device)
    started_at = time.perf_counter()
    for _ in range(times):
        call()
    synchronize(device)
    return (time.perf_counter() - started_at) / times


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished its queued work; CPUs have none."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def counted_gflop(call: Callable[[], object]) -> float:
    """Return the floating-point operations of a call's matrix products and convolutions, in 10^9.

    A multiply-add counts as 2. Attention counts in full even where it is causal, as is customary.
    """
    counter = FlopCounterMode(display=False, custom_mapping=_CPU_ATTENTION)
    counter.mod_tracker = _OnlyTheWhole()
    # Compiled code runs in eager mode here, since fused kernels would hide operations.
    with torch.compiler.set_stance("force_eager"), counter:
        call()
    return counter.get_total_flops() / 1e9


class _OnlyTheWhole(ModuleTracker):
    """Tracks no modules: hooks on them fail at slices of parameters that need no gradient."""

    def __enter__(self) -> "_OnlyTheWhole":
        return self

    def __exit__(self, *_: object) -> None:
        pass


def _warmed_up(row: BenchmarkRow, device: torch.device) -> _WarmRow:
    row.call()
    gflop = None if row.precision is None else counted_gflop(row.call)
    seconds = seconds_per_call(row.call, 1, device)
    return _WarmRow(row=row, gflop=gflop, calls_per_run=max(1, math.ceil(SHORTEST_RUN_SECONDS / max(seconds, 1e-6))))


def _result(warm: _WarmRow, seconds: Sequence[float]) -> RowResult:
    return RowResult(
        seconds=statistics.median(seconds),
        seconds_min=min(seconds),
        seconds_max=max(seconds),
        items=warm.row.items,
        unit=warm.row.unit,
        gflop=warm.gflop,
        precision=warm.row.precision,
    )
