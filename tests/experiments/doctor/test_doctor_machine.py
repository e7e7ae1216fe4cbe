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
