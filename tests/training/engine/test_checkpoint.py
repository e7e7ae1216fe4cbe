import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from sycoca.training.checkpoint_copies import checkpoints_in
from sycoca.training.config import OptimizerConfig
from sycoca.training.engine.checkpoints.checkpoint import (
    TrainingState,
    load_checkpoint,
    save_checkpoint,
    set_aside_checkpoints,
)
from sycoca.training.engine.optimization.optimizer import build_optimizer


def trained(num_updates: int, width: int = 3) -> tuple[nn.Module, torch.optim.Optimizer]:
    model = nn.Sequential(nn.Linear(width, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    optimizer = build_optimizer(model, OptimizerConfig(peak_lr=0.1))
    for _ in range(num_updates):
        update(model, optimizer)
    return model, optimizer


def update(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    model(torch.tensor([[0.3, -1.0, 2.0]])).square().sum().backward()
    optimizer.step()


def test_restored_run_goes_on_with_the_same_bits(tmp_path: Path):
    model, optimizer = trained(3)
    state = TrainingState(step=3, samples_seen=12, scaler={"scale": 1024.0})
    path = save_checkpoint(tmp_path, state, model, optimizer)
    other, other_optimizer = trained(0)
    assert load_checkpoint(path, other, other_optimizer) == state
    update(model, optimizer)
    update(other, other_optimizer)
    for name, tensor in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor), name


def test_holds_tensors_and_plain_data_only(tmp_path: Path):
    path = save_checkpoint(tmp_path, TrainingState(step=7, samples_seen=28), *trained(1))
    assert path == tmp_path / "step-00000007"
    assert sorted(file.name for file in path.iterdir()) == [
        "manifest.json",
        "model.safetensors",
        "optimizer.safetensors",
        "state.json",
    ]
    state = json.loads((path / "state.json").read_text(encoding="utf-8"))
    assert state == {"format_version": 3, "step": 7, "samples_seen": 28, "scaler": {}, "metrics": {}}
    assert "exp_avg_sq/2.weight" in load_file(path / "optimizer.safetensors")


def test_unsound_ones_are_renamed_and_not_taken(tmp_path: Path):
    model, optimizer = trained(1)
    for step in (1, 2, 2):
        save_checkpoint(tmp_path, TrainingState(step=step, samples_seen=0), model, optimizer)
        if step == 2:
            set_aside_checkpoints(tmp_path, after_step=1)
    names = ["step-00000001", "step-00000002.unsound", "step-00000002.unsound-2"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert checkpoints_in(tmp_path) == [(1, tmp_path / "step-00000001")]


def test_killed_while_saving_leaves_the_last_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    model, optimizer = trained(1)
    first = save_checkpoint(tmp_path, TrainingState(step=1, samples_seen=0), model, optimizer)

    def die(*_: object) -> None:
        raise SystemExit

    monkeypatch.setattr("sycoca.training.engine.checkpoints.checkpoint._tensor_writers", die)
    with pytest.raises(SystemExit):
        save_checkpoint(tmp_path, TrainingState(step=2, samples_seen=0), model, optimizer)
    assert checkpoints_in(tmp_path) == [(1, first)]
    monkeypatch.undo()
    second = save_checkpoint(tmp_path, TrainingState(step=2, samples_seen=0), model, optimizer)
    assert checkpoints_in(tmp_path) == [(1, first), (2, second)]


def test_same_step_again_is_left_alone(tmp_path: Path):
    path = save_checkpoint(tmp_path, TrainingState(step=1, samples_seen=4), *trained(1))
    before = (path / "state.json").stat().st_mtime_ns
    save_checkpoint(tmp_path, TrainingState(step=1, samples_seen=4), *trained(1))
    assert (path / "state.json").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda tensors: tensors | {"0.weight": torch.ones(4, 5)},
            r"0\.weight has shape \(4, 5\) there and \(4, 3\) here",
        ),
        (lambda tensors: tensors | {"new": torch.ones(1)}, r"new has shape \(1,\) there and None here"),
        (
            lambda tensors: {name: tensor for name, tensor in tensors.items() if name != "2.bias"},
            r"2\.bias has shape None there and \(2,\) here",
        ),
    ],
)
def test_checkpoint_of_another_model_is_refused(tmp_path: Path, change, message: str):
    path = save_checkpoint(tmp_path, TrainingState(step=1, samples_seen=4), *trained(1))
    save_file(change(load_file(path / "model.safetensors")), path / "model.safetensors")
    with pytest.raises(ValueError, match=message):
        load_checkpoint(path, *trained(0))
