import json
import math
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sycoca.training.tracking import MetricsFile, TensorBoard, Trackers, read_metrics


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


def test_resumed_tensorboard_forgets_later_steps(tmp_path: Path):
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
