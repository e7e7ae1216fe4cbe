import os
import tempfile
from collections import namedtuple

import pytest
import torch

from sycoca.experiments.doctor import machine
from sycoca.experiments.doctor.finding import Section


def states(section: Section) -> dict[str, str]:
    return {one.name: one.state for one in section.findings}


def test_the_machine_is_described_and_its_product_is_right():
    found = {one.name: one for one in machine.machine().findings}
    assert found["cpu"].value == "a matrix product is right"
    assert f"of {os.cpu_count()} may be used" in found["cores"].value
    assert found["memory"].value.endswith("GiB of it available")


def test_more_threads_than_cores_are_remarked(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 999)
    found = {one.name: one for one in machine.machine().findings}["threads"]
    assert (found.state, found.value.startswith("999 of PyTorch")) == ("note", True)
    assert found.remedy is not None


@pytest.mark.parametrize(
    ("limit", "said", "most"),
    [("200000 100000\n", ", with the processor time of 2", 2), ("50000 100000", ", with the processor time of 0.5", 1)],
)
def test_more_threads_than_a_container_has_processor_time_for_are_remarked(monkeypatch, tmp_path, limit, said, most):
    (tmp_path / "cpu.max").write_text(limit)
    monkeypatch.setattr(machine, "CPU_LIMIT", tmp_path / "cpu.max")
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: range(8))
    for threads, state in ((most, "good"), (most + 1, "note")):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        found = {one.name: one for one in machine.machine().findings}
        assert found["cores"].value.endswith(said)
        assert found["threads"].state == state
    assert found["threads"].remedy.startswith(f"set OMP_NUM_THREADS={most}: ")


def test_a_container_without_a_limit_has_none(monkeypatch, tmp_path):
    (tmp_path / "cpu.max").write_text("max 100000\n")
    for limit in (tmp_path / "cpu.max", tmp_path / "none"):
        monkeypatch.setattr(machine, "CPU_LIMIT", limit)
        assert {one.name: one for one in machine.machine().findings}["cores"].value.endswith("may be used")


def test_a_wrong_product_and_one_that_raises_fail(monkeypatch):
    monkeypatch.setattr(machine, "product_on", lambda _device, left, _right: left)
    (cpu, *_) = machine.devices()
    assert (cpu.state, cpu.value) == ("failed", "a matrix product is wrong")

    def broken(*_: object) -> torch.Tensor:
        raise RuntimeError("CUDA error:\nno kernel image")

    monkeypatch.setattr(machine, "product_on", broken)
    (cpu, *_) = machine.devices()
    assert (cpu.state, cpu.value) == ("failed", "CUDA error: no kernel image")


@pytest.fixture
def places(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_folders_are_written_to_and_left_as_they_were(places):
    assert states(machine.folders()) == {"current folder": "good", "cache folder": "good", "temporary folder": "good"}
    assert [path.name for path in places.rglob("*")] == ["caches", "sycoca"]


def test_a_folder_that_cannot_be_written_fails_with_its_variable(places):
    (places / "caches").write_text("a file in the place of the folder")
    found = {one.name: one for one in machine.folders().findings}
    assert found["cache folder"].state == "failed"
    assert f"{places}/caches/sycoca: Not a directory" in found["cache folder"].value
    assert found["cache folder"].remedy is not None
    assert "XDG_CACHE_HOME" in found["cache folder"].remedy
    assert found["temporary folder"].state == "good"


@pytest.mark.usefixtures("places")
def test_a_nearly_full_disk_is_remarked(monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: usage(2**40, 2**40, 2**29))
    assert set(states(machine.folders()).values()) == {"note"}
    assert "only 0.50 GiB free" in machine.folders().findings[0].value
