"""Every damage of the newest checkpoint is reported by name, and the one before it is used."""

import errno
import json
import logging
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from sycoca.outputs.manifest import Manifest, flushed_entries, verification
from sycoca.training.config import OptimizerConfig
from sycoca.training.engine.checkpoints.checkpoint import TrainingState, save_checkpoint
from sycoca.training.engine.checkpoints.soundness import newest_sound_step
from sycoca.training.engine.optimization.optimizer import build_optimizer
from sycoca.training.engine.optimization.weight_average import WeightAverage

NAMES = ("average.safetensors", "manifest.json", "model.safetensors", "optimizer.safetensors", "state.json")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    optimizer = build_optimizer(model, OptimizerConfig(peak_lr=0.1))
    average = WeightAverage(model, 0.9)
    for step in (2, 4):
        model(torch.tensor([[0.3, -1.0, 2.0]])).square().sum().backward()
        optimizer.step()
        average.update(step, torch.tensor(1.0))
        save_checkpoint(tmp_path, TrainingState(step=step, samples_seen=4), model, optimizer, average=average)
    return tmp_path


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-4] ^= 1  # of tensors the last value's mantissa
    path.write_bytes(data)


def flip_middle(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def swap(path: Path) -> None:
    shutil.copy(path.parents[1] / "step-00000002" / path.name, path)


def remove(path: Path) -> None:
    path.unlink()


DAMAGES = {
    truncate: r"is truncated|is not JSON",
    empty: "is emptied|is not JSON",
    flip: "differs from its SHA-256|is not JSON|is not a manifest",
    flip_middle: "differs from its SHA-256|is not JSON|is not a manifest|is missing",
    swap: "differs from its SHA-256|is that of step 2, not of step 4|is truncated|too many",
    remove: "is missing",
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_file_is_named_and_the_checkpoint_before_is_used(
    folder: Path, name: str, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
):
    damage(folder / "step-00000004" / name)
    with caplog.at_level(logging.WARNING):
        assert newest_sound_step(folder) == 2
    (message,) = caplog.messages
    named = str(folder / "step-00000004") if damage is flip_middle else str(folder / "step-00000004" / name)
    assert message.startswith(named)
    assert re.search(DAMAGES[damage], message), message
    assert sorted(path.name for path in folder.iterdir()) == ["step-00000002", "step-00000004.damaged"]


def in_its_place_a_file(path: Path) -> None:
    shutil.rmtree(path)
    path.write_text("")


def emptied(path: Path) -> None:
    shutil.rmtree(path)
    path.mkdir()


def of_another_step(path: Path) -> None:
    shutil.rmtree(path)
    shutil.copytree(path.with_name("step-00000002"), path)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (in_its_place_a_file, "step-00000004 is not a folder"),
        (emptied, "state.json is missing"),
        (of_another_step, "manifest.json is that of step 2, not of step 4"),
    ],
)
def test_a_damaged_folder_is_named(folder: Path, damage: Callable[[Path], None], said: str, caplog):
    damage(folder / "step-00000004")
    assert newest_sound_step(folder) == 2
    assert said in caplog.text


def test_a_sound_one_is_taken_silently(folder: Path, caplog: pytest.LogCaptureFixture):
    assert newest_sound_step(folder) == 4
    assert caplog.text == ""
    assert newest_sound_step(folder / "nothing") is None


def test_newer_format_is_refused(folder: Path):
    path = folder / "step-00000004"
    state = json.loads((path / "state.json").read_text(encoding="utf-8"))
    (path / "state.json").write_text(json.dumps({**state, "format_version": 6}), encoding="utf-8")
    Manifest(kind="checkpoint", step=4, files=flushed_entries(path, set(NAMES) - {"manifest.json"})).write(path)
    with pytest.raises(ValueError, match=r"step-00000004 has checkpoint format 6, this version reads up to 5"):
        newest_sound_step(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["step-00000002", "step-00000004"]


def test_a_folder_that_may_not_be_read_is_named(folder: Path, caplog, monkeypatch: pytest.MonkeyPatch):
    real = Path.exists

    def exists(path: Path) -> bool:
        if path.parent.name == "step-00000004":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))  # as Python 3.11 does
        return real(path)

    monkeypatch.setattr(Path, "exists", exists)
    assert newest_sound_step(folder) == 2
    assert "step-00000004 cannot be read: Permission denied; the checkpoint is now step-00000004.damaged" in caplog.text


def test_where_all_are_broken_each_is_named_and_none_is_renamed(folder: Path):
    empty(folder / "step-00000002" / "state.json")
    remove(folder / "step-00000004" / "model.safetensors")
    with pytest.raises(
        ValueError, match=r"no checkpoint in .*4/model\.safetensors is missing; .*2/state\.json is empt"
    ):
        newest_sound_step(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["step-00000002", "step-00000004"]


def test_without_verification_only_the_structure_is_checked(folder: Path):
    newest = folder / "step-00000004"
    flip(newest / "model.safetensors")
    (newest / "manifest.json").unlink()
    with verification(False):
        assert newest_sound_step(folder) == 4
    assert newest_sound_step(folder) == 2
