import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from sycoca.outputs.manifest import verification
from sycoca.training.config import OptimizerConfig
from sycoca.training.engine.checkpoints.checkpoint import TrainingState, load_checkpoint, save_checkpoint
from sycoca.training.engine.checkpoints.soundness import damage_of
from sycoca.training.engine.checkpoints.tensor_files import split_into_files, write_tensor_file
from sycoca.training.engine.optimization.optimizer import build_optimizer
from sycoca.training.engine.optimization.weight_average import WeightAverage

LIMIT = "sycoca.training.engine.checkpoints.tensor_files.MOST_BYTES"
STATE = TrainingState(step=2, samples_seen=8)


def trained(num_updates: int) -> tuple[nn.Module, torch.optim.Optimizer, WeightAverage]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    optimizer, average = build_optimizer(model, OptimizerConfig(peak_lr=0.1)), WeightAverage(model, 0.9)
    for _ in range(num_updates):
        optimizer.zero_grad()
        model(torch.tensor([[0.3, -1.0, 2.0]])).square().sum().backward()
        optimizer.step()
        average.move(0.5)
    return model, optimizer, average


@pytest.fixture
def cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint whose tensor files hold at most 60 bytes of tensors."""
    monkeypatch.setattr(LIMIT, 60)
    model, optimizer, average = trained(2)
    return save_checkpoint(tmp_path, STATE, model, optimizer, average=average)


def test_the_sha256_is_that_of_the_file(tmp_path: Path):
    tensors = {
        "transposed": torch.arange(6.0).reshape(2, 3).T,
        "a half": torch.tensor([1.5], dtype=torch.bfloat16),
        "__metadata": torch.tensor(7),
        "nothing": torch.empty(0, 4),
        "trained": torch.arange(3.0, requires_grad=True),
        "truths": torch.tensor([True, False]),
    }
    path = tmp_path / "model.safetensors"
    sha256 = write_tensor_file(tensors, path)
    assert sha256() == hashlib.sha256(path.read_bytes()).hexdigest()
    read = load_file(path)
    assert all(torch.equal(read[name], tensor) for name, tensor in tensors.items())


def test_a_file_that_was_not_written_as_the_tensors_are_is_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def save(tensors: dict[str, torch.Tensor], path: Path) -> None:
        save_file(tensors, path)
        path.write_bytes(path.read_bytes()[:-1] + b"!")

    monkeypatch.setattr("sycoca.training.engine.checkpoints.tensor_files.save_file", save)
    model, optimizer, _ = trained(1)
    damage = damage_of(save_checkpoint(tmp_path, STATE, model, optimizer), STATE.step)
    assert damage is not None
    assert "differs from its SHA-256" in str(damage)


def test_files_are_filled_in_order_and_large_tensors_lie_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(LIMIT, 16)
    tensors = {name: torch.zeros(size) for name, size in (("a", 2), ("b", 2), ("c", 9), ("d", 1), ("e", 4))}
    files = split_into_files("model", tensors)
    assert {name: "".join(piece) for name, piece in files.items()} == {
        "model-00001-of-00004.safetensors": "ab",
        "model-00002-of-00004.safetensors": "c",
        "model-00003-of-00004.safetensors": "d",
        "model-00004-of-00004.safetensors": "e",
    }


def test_one_file_where_all_fit():
    assert list(split_into_files("average", {"a": torch.zeros(2)})) == ["average.safetensors"]
    assert list(split_into_files("optimizer", {})) == ["optimizer.safetensors"]


def test_cut_files_restore_the_same_bits(cut: Path):
    model, optimizer, average = trained(2)
    names = [path.name for path in sorted(cut.glob("optimizer*"))]
    assert len(names) > 1
    assert names[0] == f"optimizer-00001-of-{len(names):05d}.safetensors"
    other, other_optimizer, other_average = trained(0)
    assert load_checkpoint(cut, other, other_optimizer, other_average) == STATE
    for name, tensor in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor), name
        assert torch.equal(other_average.tensors()[name], average.tensors()[name]), name
    for index, state in optimizer.state_dict()["state"].items():
        for kind, tensor in state.items():
            assert torch.equal(other_optimizer.state_dict()["state"][index][kind], tensor), kind


def test_all_files_are_in_the_manifest(cut: Path):
    listed = json.loads((cut / "manifest.json").read_text())["files"]
    assert set(listed) == {path.name for path in cut.iterdir()} - {"manifest.json"}
    assert damage_of(cut, 2) is None


@pytest.mark.parametrize("verifies", [True, False])
@pytest.mark.parametrize("part", ["model", "optimizer", "average"])
@pytest.mark.parametrize("number", [0, 1, -1])
def test_a_missing_file_is_named(cut: Path, part: str, number: int, verifies: bool):
    path = sorted(cut.glob(f"{part}-*"))[number]
    path.unlink()
    with verification(verifies):
        damage = damage_of(cut, 2)
    # Without the last file the others still say how many there are.
    assert damage == f"{path} is missing"


def test_a_file_that_is_no_piece_is_refused(cut: Path):
    (cut / "model.safetensors").write_bytes(sorted(cut.glob("model-*"))[0].read_bytes())
    assert damage_of(cut, 2) == f"{cut / 'model.safetensors'} is not listed in manifest.json"


def test_checkpoints_of_format_2_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sycoca.training.engine.checkpoints.checkpoint.FORMAT_VERSION", 2)
    monkeypatch.setattr(LIMIT, 2**20)
    model, optimizer, average = trained(2)
    old = save_checkpoint(tmp_path / "old", STATE, model, optimizer, average=average)
    monkeypatch.undo()
    assert damage_of(old, 2) is None
    other, other_optimizer, _ = trained(0)
    load_checkpoint(old, other, other_optimizer)
    assert all(torch.equal(other.state_dict()[name], one) for name, one in load_file(old / "model.safetensors").items())
