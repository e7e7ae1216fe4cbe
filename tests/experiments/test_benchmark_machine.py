import mmap
import sys
from pathlib import Path

import pytest
import torch

from sycoca.experiments.benchmark import machine as benchmark_machine
from sycoca.experiments.benchmark.machine import copy_row, describe_machine, matrix_row, peak_bytes, used_bytes

CPU = torch.device("cpu")
MIB = 2**20

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells")


def touch(size: int) -> None:
    """Use memory directly from the system, since allocators may reuse theirs."""
    with mmap.mmap(-1, size) as memory:
        for page in range(0, size, mmap.PAGESIZE):
            memory[page] = 1


@linux
def test_the_peak_of_a_call_is_its_own():
    before = used_bytes(CPU)
    peak = peak_bytes(lambda: touch(96 * MIB), CPU)
    after, later_peak = used_bytes(CPU), peak_bytes(lambda: touch(8 * MIB), CPU)
    assert before is not None
    assert after is not None
    assert peak is not None
    assert later_peak is not None
    assert peak - before > 90 * MIB
    assert peak - after > 90 * MIB
    assert peak - later_peak > 70 * MIB


@linux
def test_a_peak_that_the_system_does_not_count_is_none(monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object, **__: object) -> int:
        raise PermissionError

    monkeypatch.setattr(Path, "write_text", refuse)
    assert peak_bytes(lambda: None, CPU) is None


def test_memory_of_other_devices_is_unknown():
    assert used_bytes(torch.device("meta")) is None
    assert peak_bytes(lambda: None, torch.device("meta")) is None


def test_memory_of_gpus_is_what_pytorch_has_allocated(monkeypatch: pytest.MonkeyPatch):
    order: list[str] = []
    for name, answer in (("memory_allocated", 5), ("reset_peak_memory_stats", None), ("max_memory_allocated", 7)):
        monkeypatch.setattr(torch.cuda, name, lambda _, name=name, answer=answer: order.append(name) or answer)
    monkeypatch.setattr(torch.accelerator, "synchronize", lambda _: order.append("synchronize"))
    assert used_bytes(torch.device("cuda")) == 5
    assert peak_bytes(lambda: order.append("call"), torch.device("cuda")) == 7
    assert order == ["memory_allocated", "reset_peak_memory_stats", "call", "synchronize", "max_memory_allocated"]


def test_the_side_with_the_highest_rate_is_used(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(benchmark_machine, "MATRIX_SIDES", {"cpu": (8, 16, 32)})
    # Seconds per side, the better of two tries each: 16 has the most operations per second.
    seconds = iter([8.0**3, 9 * 8.0**3, 16.0**3, 16**3 / 2, 32.0**3, 32.0**3])
    monkeypatch.setattr(benchmark_machine, "seconds_per_call", lambda *_: next(seconds))
    row = matrix_row("bf16", CPU)
    product = row.call()
    assert isinstance(product, torch.Tensor)
    assert product.shape == (16, 16)
    assert product.dtype == torch.bfloat16
    assert row.name == "matrix_peak_bf16"
    assert row.precision == "bf16"


def test_a_copy_counts_bytes_read_and_written(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(benchmark_machine, "COPIED_BYTES", 4000)
    row = copy_row(CPU)
    copied = row.call()
    assert isinstance(copied, torch.Tensor)
    assert torch.equal(copied, torch.ones(1000))
    assert row.items == 8e-6


def test_the_machine_is_described():
    machine = describe_machine(CPU)
    assert machine["torch"] == torch.__version__
    assert machine["threads"] == torch.get_num_threads()
    assert machine["device"] == "cpu"
    assert machine["processor"]


def test_the_processor_is_named_as_linux_does(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Path, "exists", lambda _: True)
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: "processor : 0\nmodel name : Fast: 9000\nflags : fpu\n")
    assert describe_machine(CPU)["processor"] == "Fast: 9000"
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: "processor : 0\nBogoMIPS : 50\n")
    monkeypatch.setattr("platform.processor", lambda: "")
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert describe_machine(CPU)["processor"] == "aarch64"
