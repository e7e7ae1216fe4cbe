"""Worker processes: one is killed, and the folder is that of a worker alone."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

import sycoca
from builders.predictors import save_small_weights
from sycoca.inference.model_options import ModelOptions
from sycoca.mapping.processes import device_of
from sycoca.outputs.errors import OutputInterrupted
from sycoca.stop_signals import Stopped

SCENES = "scenes:?split=test&count=60&size=32"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small_weights(tmp_path_factory.mktemp("model") / "weights")


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def kill_one_worker(folder: Path) -> None:
    """Kill the first process that holds a block."""
    while True:
        for lease in folder.glob(".0*.lease"):
            try:
                pid = json.loads(lease.read_bytes())["pid"]
            except (OSError, ValueError):
                continue
            assert pid != os.getpid()
            os.kill(pid, signal.SIGKILL)
            return
        time.sleep(0.001)


@pytest.mark.slow
def test_a_killed_worker_loses_a_block_which_the_other_one_takes_over(
    weights: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    options = {"block_size": 6, "temperature": 1.0, "model": ModelOptions(batch_size=4, device="cpu")}
    sycoca.map_captions(weights, SCENES, tmp_path / "alone", **options)
    killer = threading.Thread(target=kill_one_worker, args=(tmp_path / "out",), daemon=True)
    killer.start()
    result = sycoca.map_captions(weights, SCENES, tmp_path / "out", workers=2, threads=1, **options)
    killer.join(1)
    assert not killer.is_alive()
    assert any("was killed by signal 9; the others take its block over" in text for text in caplog.messages)
    assert files_of(tmp_path / "out") == files_of(tmp_path / "alone")
    assert result.files == 10


def test_a_stop_between_two_batches_releases_the_block_even_if_its_traceback_is_kept(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def tracked(samples: Iterable[None], *_: object, **__: object) -> Iterator[None]:
        yield next(iter(samples))
        raise Stopped(signal.SIGTERM)

    monkeypatch.setattr("sycoca.mapping.run.tracked", tracked)
    model = ModelOptions(batch_size=4, device="cpu")
    with pytest.raises(OutputInterrupted) as kept:
        sycoca.map_captions(weights, SCENES, tmp_path / "out", block_size=6, model=model)
    assert not list((tmp_path / "out").glob(".0*.lease")), kept


def test_workers_share_the_accelerators(monkeypatch: pytest.MonkeyPatch):
    accelerator = "sycoca.mapping.processes.torch.accelerator"
    monkeypatch.setattr(f"{accelerator}.is_available", lambda: True)
    monkeypatch.setattr(f"{accelerator}.current_accelerator", lambda: type("Device", (), {"type": "cuda"})())
    monkeypatch.setattr(f"{accelerator}.device_count", lambda: 2)
    assert [device_of("auto", number) for number in range(3)] == ["cuda:0", "cuda:1", "cuda:0"]
    assert device_of("cpu", 1) == "cpu"
