import itertools
import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer import event_file_writer

from builders.damages import Damage, empty, make_folder, prepend, zero
from sycoca.training.engine.tracking import MetricsFile, TensorBoard, Trackers, WeightsAndBiases, read_metrics
from sycoca.training.pretrain import pretrain, resume_pretraining


def test_one_line_per_logged_step(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    metrics = MetricsFile(path, first_step=0)
    metrics.log(10, {"contrastive": 1.5, "lr": 0.1})
    # On disk before it is closed: a killed run must not lose it.
    assert read_metrics(path) == [{"step": 10, "contrastive": 1.5, "lr": 0.1}]
    metrics.log(20, {"contrastive": 1.0})
    metrics.close()
    assert [line["step"] for line in read_metrics(path)] == [10, 20]


def test_resume_drops_steps_that_will_be_done_again(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 10, "a": 1}\n{"step": 20, "a": 2}\n{"step": 30, "a": 3}\n{"step": 40, "a"', "utf-8")
    metrics = MetricsFile(path, first_step=20)
    metrics.log(30, {"a": 4.0})
    metrics.close()
    assert read_metrics(path) == [{"step": 10, "a": 1}, {"step": 20, "a": 2}, {"step": 30, "a": 4.0}]


def test_what_is_not_finite_is_null(tmp_path: Path):
    metrics = MetricsFile(tmp_path / "metrics.jsonl", first_step=0)
    metrics.log(1, {"gradient_norm": math.inf, "loss": math.nan})
    metrics.close()
    line = json.loads((tmp_path / "metrics.jsonl").read_text(encoding="utf-8"))
    assert line == {"step": 1, "gradient_norm": None, "loss": None}


def test_tensorboard_gets_every_value(tmp_path: Path):
    tracker = TensorBoard(tmp_path, first_step=0)
    tracker.log(5, {"contrastive": 2.0, "lr": 0.25})
    tracker.log(6, {"contrastive": 1.0})
    tracker.close()
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [(event.step, event.value) for event in events.Scalars("contrastive")] == [(5, 2.0), (6, 1.0)]
    assert [event.value for event in events.Scalars("lr")] == [0.25]


def test_resumed_tensorboard_forgets_later_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # Files of one second are read in the order of their names, where number 10 comes before 9.
    monkeypatch.setattr(event_file_writer._global_uid, "get", itertools.count().__next__)
    for first_step, value in ((0, 1.0), (2, 9.0)):
        tracker = TensorBoard(tmp_path, first_step=first_step)
        for step in range(first_step + 1, 5):
            tracker.log(step, {"a": value})
        tracker.close()
    events = EventAccumulator(str(tmp_path)).Reload().Scalars("a")
    assert [(event.step, event.value) for event in events] == [(1, 1.0), (2, 1.0), (3, 9.0), (4, 9.0)]


def test_several_trackers_get_the_same(tmp_path: Path):
    both = Trackers([MetricsFile(tmp_path / name, first_step=0) for name in ("a", "b")])
    both.log(1, {"x": 1.0})
    both.close()
    assert read_metrics(tmp_path / "a") == read_metrics(tmp_path / "b") == [{"step": 1, "x": 1.0}]


class StandInForWandb(ModuleType):
    """A stand-in for the wandb package that records its calls."""

    class Error(Exception):
        """Its own error."""

    def __init__(self, failure: str | None = None) -> None:
        super().__init__("wandb")
        self.failure = failure
        self.begun: list[dict[str, object]] = []
        self.logged: list[tuple[int, dict[str, float]]] = []
        self.num_finished = 0

    def init(self, **settings: object) -> SimpleNamespace:
        if self.failure is not None:
            raise self.Error(self.failure)
        self.begun.append(settings)
        return SimpleNamespace(id=settings["id"] or "id-of-wandb", log=self._log, finish=self._finish)

    def _log(self, values: dict[str, float], step: int) -> None:
        self.logged.append((step, values))

    def _finish(self) -> None:
        self.num_finished += 1


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> StandInForWandb:
    stand_in = StandInForWandb()
    monkeypatch.setitem(sys.modules, "wandb", stand_in)
    return stand_in


def test_weights_and_biases_gets_every_value_and_the_config(wandb: StandInForWandb, tmp_path: Path):
    tracker = WeightsAndBiases("birds", {"seed": 3}, id_path=tmp_path / "wandb_id.txt")
    tracker.log(10, {"contrastive": 1.5})
    tracker.log(20, {"contrastive": 1.0, "lr": 0.1})
    assert wandb.num_finished == 0
    tracker.close()
    assert wandb.logged == [(10, {"contrastive": 1.5}), (20, {"contrastive": 1.0, "lr": 0.1})]
    assert wandb.num_finished == 1
    assert wandb.begun == [
        {
            "project": "birds",
            "name": tmp_path.name,
            "id": None,
            "resume": "allow",
            "dir": str(tmp_path),
            "config": {"seed": 3},
        }
    ]


def test_a_resumed_run_goes_on_under_its_id(wandb: StandInForWandb, make_run_config):
    config = make_run_config()
    config = replace(config, training=replace(config.training, wandb="birds", log_every=2))
    folder = pretrain(config)
    assert (folder / "wandb_id.txt").read_text(encoding="utf-8") == "id-of-wandb\n"
    resume_pretraining(replace(config, training=replace(config.training, steps=6)))
    assert [settings["id"] for settings in wandb.begun] == [None, "id-of-wandb"]
    assert [settings["project"] for settings in wandb.begun] == ["birds", "birds"]
    assert [step for step, _ in wandb.logged] == [2, 4, 6]
    assert {**wandb.logged[0][1], "step": 2} == read_metrics(folder / "metrics.jsonl")[0]
    assert wandb.num_finished == 2


@pytest.mark.parametrize("damage", [empty, zero, make_folder, prepend("text", b"two words\n")])
def test_a_damaged_id_begins_a_new_run(
    damage: Damage, wandb: StandInForWandb, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    path = tmp_path / "wandb_id.txt"
    path.write_text("old-id\n", encoding="utf-8")
    damage(path)
    WeightsAndBiases("birds", {}, id_path=path).close()
    assert wandb.begun[0]["id"] is None
    assert path.read_text(encoding="utf-8") == "id-of-wandb\n"
    assert (tmp_path / "wandb_id.txt.damaged").exists()
    assert str(path) in caplog.text
    WeightsAndBiases("birds", {}, id_path=path).close()
    assert wandb.begun[1]["id"] == "id-of-wandb"


def test_a_file_in_the_place_of_tensorboards_folder_is_renamed(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    folder = tmp_path / "tensorboard"
    folder.write_text("not a folder")
    TensorBoard(folder, first_step=0).close()
    assert folder.is_dir()
    assert caplog.messages == [f"{folder} is no folder; it is now tensorboard.damaged"]


def test_damaged_lines_and_later_ones_are_dropped_wherever_they_stand(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    lines = ['{"step": 1, "a": 1}', '{"step": 9, "a": 1}', '{"step": 2, "a": NaN}', '{"step": 3, "a": "1"}']
    path.write_text("".join(f"{line}\n" for line in [*lines, '{"step": 2, "a": null}']), encoding="utf-8")
    MetricsFile(path, first_step=2).log(3, {"a": 2})
    assert read_metrics(path) == [{"step": 1, "a": 1}, {"step": 2, "a": None}, {"step": 3, "a": 2}]


def test_without_the_package_nothing_is_begun(make_run_config, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "wandb", None)  # pyright: ignore[reportArgumentType]
    config = make_run_config()
    with pytest.raises(ValueError, match=r"needs Weights & Biases; install it with: pip install 'sycoca\[wandb\]'$"):
        pretrain(replace(config, training=replace(config.training, wandb="birds")))
    assert not Path(config.out).exists()


def test_weights_and_biases_without_login_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "wandb", StandInForWandb("No API key."))
    with pytest.raises(ValueError, match=r"did not start: No API key\. WANDB_MODE=offline stores the run"):
        WeightsAndBiases("birds", {}, id_path=tmp_path / "wandb_id.txt")
    assert list(tmp_path.iterdir()) == []
