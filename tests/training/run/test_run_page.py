from contextlib import nullcontext
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest

import sycoca
from sycoca.facts.paper_facts import deviations
from sycoca.objectives.config import ObjectivesConfig
from sycoca.training.config import DataConfig
from sycoca.training.engine.interruption import StopSignal, TrainingInterrupted
from sycoca.training.pretrain import pretrain, resume_pretraining
from sycoca.training.run import training_run as run
from sycoca.training.run.report import duration, training_seconds

DATA = DataConfig(train="scenes:?count=10&size=16", validation="scenes:?count=6&size=16&split=validation")


def test_a_run_ends_with_its_report(make_run_config):
    config = make_run_config(data=DATA)
    folder = pretrain(replace(config, training=replace(config.training, report=True)))
    html = (folder / "report.html").read_text(encoding="utf-8")
    for text in ("Training curves", "6 held-out images", "<h2>Captions", "Attentive masks", "10 samples of scenes"):
        assert text in html
    assert "4 of 4, 4 samples each" in html
    assert "1.6</dd>" in html  # epochs
    assert "Held-out values are of the 6 samples of scenes-easy-validation." in " ".join(html.split())
    assert "N = 6 held-out samples, 95\u00a0% interval " in html
    assert "chance 1.39, in batches of 4" in html
    assert ", validation excluded." in html
    assert "time in steps, without validation" in html
    assert "not the paper's settings" in unescape(html)
    assert all(one in html for one in deviations(config))
    assert f"report in {folder / 'report.html'}" in (folder / "log.txt").read_text(encoding="utf-8")


def test_without_validation_the_examples_are_training_images_and_say_so(make_run_config):
    config = make_run_config(objectives=ObjectivesConfig(captioning_weight=0.0, masked_image_weight=0.0))
    folder = pretrain(replace(config, training=replace(config.training, report=True)))
    html = (folder / "report.html").read_text(encoding="utf-8")
    assert "10 training images" in html
    assert "<h2>Captions" not in html
    assert "Attentive masks" not in html


def test_a_stopped_run_reports_too_and_the_resumed_one_again(make_run_config, monkeypatch: pytest.MonkeyPatch):
    config = make_run_config(data=DATA)
    config = replace(config, training=replace(config.training, report=True, save_every=2))
    monkeypatch.setattr(StopSignal, "__enter__", raised)
    with pytest.raises(TrainingInterrupted):
        pretrain(config)
    monkeypatch.undo()
    report = Path(config.out) / "report.html"
    stopped = report.read_text(encoding="utf-8")
    assert "Stopped after step 1. Resume with: sycoca pretrain --resume" in stopped
    assert "1 of 4, 4 samples each" in stopped
    assert "<img" not in stopped
    resume_pretraining(config)
    assert "Stopped after" not in report.read_text(encoding="utf-8")


def test_a_report_that_fails_does_not_lose_the_run(make_run_config, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object, **__: object) -> Path:
        raise OSError("no space left")

    config = make_run_config()
    monkeypatch.setattr(run, "write_report", fail)
    with pytest.raises(OSError, match="no space left"):
        pretrain(replace(config, training=replace(config.training, report=True)))
    assert sycoca.load(Path(config.out) / "weights", device="cpu").model.num_parameters > 0


def raised(signal: StopSignal) -> StopSignal:
    signal._handled = nullcontext()
    signal._number = 2
    return signal


def test_no_report_where_none_is_wanted(make_run_config):
    assert not (pretrain(make_run_config()) / "report.html").exists()


def test_time_is_that_of_the_steps_however_often_the_run_stopped():
    lines = [
        {"step": 10, "samples_seen": 100, "images_per_second": 10.0},
        {"step": 15, "validation_contrastive": 1.0},
        {"step": 20, "samples_seen": 200, "images_per_second": 50.0},
    ]
    assert training_seconds(lines) == pytest.approx(100 / 10 + 100 / 50)
    assert training_seconds([]) == 0.0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0 s"), (89.0, "89 s"), (354.0, "5.9 minutes"), (11_520.0, "3.2 hours"), (216_000.0, "2.5 days")],
)
def test_durations_as_people_say_them(seconds: float, text: str):
    assert duration(seconds) == text
