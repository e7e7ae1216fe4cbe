import json
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from html import unescape
from pathlib import Path

import pytest

import sycoca
from sycoca.facts.paper_facts import deviations
from sycoca.objectives.config import ObjectivesConfig
from sycoca.training.config import DataConfig
from sycoca.training.engine.interruption import StopSignal, TrainingInterrupted
from sycoca.training.engine.runtime import Runtime
from sycoca.training.pretrain import pretrain, resume_pretraining
from sycoca.training.recipes.pretraining.recipe import Pretraining
from sycoca.training.run import training_run as run
from sycoca.training.run.provenance import run_provenance
from sycoca.training.run.report import duration, run_record, training_seconds
from sycoca.training.run_folder import RunFolder

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
    assert "chance 1.16, in batches of 4 and 2" in html
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


def test_steps_after_the_last_log_entry_take_time_too(make_run_config):
    """A run that stops between two entries has seen samples that no entry has the pace of."""
    lines = [
        {"step": 10, "samples_seen": 100, "images_per_second": 10.0},
        {"step": 20, "samples_seen": 200, "images_per_second": 50.0},
    ]
    assert training_seconds(lines, 290) == pytest.approx(100 / 10 + 100 / 50 + 90 / 50)
    assert training_seconds(lines, 200) == training_seconds(lines)
    recipe = Pretraining(make_run_config())
    folder = RunFolder(Path(recipe.config.out))
    folder.path.mkdir()
    record = partial(run_record, recipe, folder, recipe.open_sources(), Runtime(recipe.config.runtime))
    unmeasured = record(num_parameters=1, samples_seen=40, stopped_after=10)
    assert unmeasured.facts["time in steps, without validation"] == unmeasured.facts["pace"] == "not measured"
    assert "for 10 steps of 4, validation excluded" in unmeasured.summary
    folder.metrics.write_text('{"step": 10, "samples_seen": 40, "images_per_second": 4.0}\n')
    stopped = record(num_parameters=1, samples_seen=76, stopped_after=19)
    assert stopped.facts["pace"] == "4 images/s"
    assert stopped.facts["time in steps, without validation"] == "19 s"
    assert "for 19 steps of 4 in 19 s, validation excluded" in stopped.summary


def test_figures_count_the_samples_that_validation_has_measured(make_run_config):
    """Images that cannot be read are left out of validation, so they are no candidates and no evidence."""
    config = make_run_config(data=DATA)
    recipe = Pretraining(replace(config, training=replace(config.training, evaluation_samples=5)))
    folder, sources, runtime = RunFolder(Path(config.out)), recipe.open_sources(), Runtime(config.runtime)
    assert sources.validation is not None
    folder.path.mkdir()
    lost = {"name": sources.validation[3].key, "reason": "broken image", "detail": "cut off"}
    kept = {"name": "a", "reason": "caption is no text", "detail": "empty", "image_stays": True}
    folder.skipped_in_validation.write_text(f"{json.dumps(lost)}\n{json.dumps(kept)}\n")
    record = run_record(recipe, folder, sources, runtime, num_parameters=1, samples_seen=0)
    assert record.num_validated == 4
    assert record.loss_baselines == {"contrastive": "chance 1.39, in batches of 4"}
    assert record.validated == "the first 5 of 6 samples of scenes-easy-validation, 1 unusable ones left out"
    measured_on = run_provenance(recipe, folder, sources, runtime, 4, 16).measured_on
    assert measured_on is not None
    assert (measured_on.num_samples, measured_on.num_skipped) == (4, 1)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0 s"), (89.0, "89 s"), (354.0, "5.9 minutes"), (11_520.0, "3.2 hours"), (216_000.0, "2.5 days")],
)
def test_durations_as_people_say_them(seconds: float, text: str):
    assert duration(seconds) == text
