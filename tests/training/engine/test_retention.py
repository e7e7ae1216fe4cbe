import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sycoca.training.config import TrainingConfig
from sycoca.training.engine.checkpoints.checkpoint import TrainingState, save_checkpoint
from sycoca.training.engine.checkpoints.retention import best_checkpoint, delete_checkpoints

RECALL = "validation_mean_text_recall"


def config(**changes) -> TrainingConfig:
    return replace(TrainingConfig(steps=1000, global_batch_size=4, save_every=10, evaluate_every=10), **changes)


def save(folder: Path, values: dict[int, dict[str, float]]) -> None:
    model = torch.nn.Linear(1, 1)
    optimizer = torch.optim.AdamW(model.parameters())
    for step, metrics in values.items():
        save_checkpoint(folder, TrainingState(step=step, samples_seen=0, metrics=metrics), model, optimizer)


def steps(folder: Path) -> list[int]:
    return sorted(int(path.name.removeprefix("step-")) for path in folder.iterdir())


def test_the_newest_stay(tmp_path: Path):
    save(tmp_path, {step: {} for step in (5, 900, 10, 1_000_000_000)})
    delete_checkpoints(tmp_path, config(keep_checkpoints=2))
    assert steps(tmp_path) == [900, 1_000_000_000]


def test_one_every_so_many_steps_stays(tmp_path: Path):
    save(tmp_path, {step: {} for step in range(10, 80, 10)})
    delete_checkpoints(tmp_path, config(keep_checkpoints=1, keep_every=30))
    assert steps(tmp_path) == [30, 60, 70]


@pytest.mark.parametrize(("metric", "best"), [(RECALL, 20), ("validation_captioning", 10)])
def test_the_best_stays_in_the_direction_of_its_metric(tmp_path: Path, metric: str, best: int):
    save(tmp_path, {10: {metric: 0.1}, 20: {metric: 0.4}, 30: {metric: 0.4}, 40: {metric: 0.2}, 50: {}})
    delete_checkpoints(tmp_path, config(keep_checkpoints=1, keep_best=metric))
    assert steps(tmp_path) == [best, 50]


def test_a_value_that_is_not_finite_is_not_the_best(tmp_path: Path):
    save(tmp_path, {10: {RECALL: float("inf")}, 20: {RECALL: float("nan")}, 30: {RECALL: 0.1}})
    best = best_checkpoint(tmp_path, RECALL)
    assert best is not None
    assert (best.step, best.value) == (30, 0.1)


def test_what_is_no_checkpoint_is_deleted_and_what_cannot_be_deleted_ends_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog
):
    save(tmp_path, {step: {} for step in (20, 30)})
    (tmp_path / "step-00000010").write_text("no folder")
    delete_checkpoints(tmp_path, config(keep_checkpoints=2))
    assert steps(tmp_path) == [20, 30]

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("shutil.rmtree", refuse)
    delete_checkpoints(tmp_path, config(keep_checkpoints=1))
    assert caplog.messages == [f"{tmp_path / 'step-00000020'} cannot be deleted: Permission denied"]


def test_without_values_only_the_newest_stay(tmp_path: Path):
    save(tmp_path, {10: {}, 20: {}})
    assert best_checkpoint(tmp_path, RECALL) is None
    delete_checkpoints(tmp_path, config(keep_checkpoints=1, keep_best=RECALL))
    assert steps(tmp_path) == [20]


@pytest.mark.parametrize(
    "damage", ["", "[]", "{", '{"metrics": 3}', '{"metrics": {"validation_mean_text_recall": "a"}}']
)
def test_a_damaged_state_has_no_value(tmp_path: Path, damage: str):
    save(tmp_path, {10: {RECALL: 0.9}, 20: {RECALL: 0.1}})
    (tmp_path / "step-00000010" / "state.json").write_text(damage)
    best = best_checkpoint(tmp_path, RECALL)
    assert best is not None
    assert best.step == 20


def test_a_state_of_an_older_version_has_no_value(tmp_path: Path):
    save(tmp_path, {10: {RECALL: 0.9}})
    state = tmp_path / "step-00000010" / "state.json"
    old = json.loads(state.read_text())
    del old["metrics"]
    state.write_text(json.dumps(old))
    assert best_checkpoint(tmp_path, RECALL) is None
    shutil.rmtree(tmp_path / "step-00000010")
    assert best_checkpoint(tmp_path, RECALL) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keep_every": 15}, r"training\.keep_every 15 is not a multiple of training.save_every, which is 10"),
        (
            {"keep_every": 10, "save_every": None},
            r"keep_every 10 is not a multiple of training.save_every, which is None",
        ),
        ({"keep_every": 0}, r"training\.keep_every must be at least 1, got 0"),
        ({"keep_best": "validation_mean_txt_recall"}, r"did you mean 'validation_mean_text_recall'\?"),
        ({"keep_best": "beauty"}, r"no metric is called 'beauty'; metrics\.jsonl of a run lists the logged ones"),
        ({"keep_best": "lr"}, r"neither high nor low values of lr are better"),
        (
            {"keep_best": RECALL, "evaluate_every": 20},
            r"keep_best needs validation_mean_text_recall at each checkpoint: set training.save_every to a multiple of"
            r" training\.evaluate_every, got 10 and 20",
        ),
        ({"keep_best": RECALL, "evaluate_every": None}, r"training\.evaluate_every, got 10 and None"),
        ({"keep_best": "captioning", "log_every": 7}, r"a multiple of training\.log_every, got 10 and 7"),
    ],
)
def test_what_cannot_be_kept_is_refused(changes: dict[str, object], message: str):
    with pytest.raises(ValueError, match=message):
        config(**changes)
