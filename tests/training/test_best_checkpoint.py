"""training.keep_best: the best checkpoint stays, and its weights are written at the end."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sycoca.training.config import DataConfig, TrainingConfig
from sycoca.training.engine.tracking import read_metrics
from sycoca.training.pretrain import pretrain, resume_pretraining
from sycoca.training.run_folder import RunFolder

METRIC = "validation_captioning"
TRAINING = TrainingConfig(
    steps=8,
    global_batch_size=4,
    log_every=1,
    evaluate_every=2,
    save_every=2,
    keep_checkpoints=1,
    keep_best=METRIC,
    tensorboard=False,
    report=False,
)
DATA = DataConfig(train="scenes:?count=10&size=16", validation="scenes:?count=6&size=16&seed=1")


@pytest.fixture
def config(make_run_config):
    # So high a constant rate that the last steps are worse than the first ones.
    config = make_run_config(training=TRAINING, data=DATA)
    return replace(
        config,
        optimizer=replace(config.optimizer, peak_lr=1.0),
        schedule=replace(config.schedule, final_lr_ratio=1.0),
    )


def best_step(run: RunFolder) -> int:
    values = [(line[METRIC] or 0.0, int(line["step"] or 0)) for line in read_metrics(run.metrics) if METRIC in line]
    assert len(values) == 4
    return min(values)[1]


def assert_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("decay", [pytest.param(None, marks=pytest.mark.slow), 0.5])
def test_its_weights_are_written_beside_the_last(config, decay: float | None):
    run = RunFolder(pretrain(replace(config, training=replace(config.training, average_decay=decay))))
    step = best_step(run)
    assert step < 8
    assert sorted(path.name for path in run.checkpoints.iterdir()) == [f"step-{step:08d}", "step-00000008"]
    checkpoint = run.checkpoints / f"step-{step:08d}"
    expected = load_file(checkpoint / "model.safetensors")
    if decay is not None:
        expected |= load_file(checkpoint / "average.safetensors")
    assert_equal(load_file(run.best_weights / "model.safetensors"), expected)
    card = (run.best_weights / "README.md").read_text(encoding="utf-8")
    assert f"for the first {step} of 8 steps" in card
    last = load_file(
        run.checkpoints / "step-00000008" / ("model.safetensors" if decay is None else "average.safetensors")
    )
    written = load_file(run.weights / "model.safetensors")
    assert all(torch.equal(written[name], last[name]) for name in last)


def test_a_resume_knows_the_best_of_before(config, caplog: pytest.LogCaptureFixture):
    run = RunFolder(pretrain(config))
    step, expected = best_step(run), load_file(run.best_weights / "model.safetensors")
    caplog.clear()
    with caplog.at_level(logging.INFO):
        resume_pretraining(config)
    assert f"after step {step}: weights in {run.best_weights}" in caplog.text
    assert_equal(load_file(run.best_weights / "model.safetensors"), expected)


def test_a_damaged_best_is_named_and_the_run_ends(config, caplog: pytest.LogCaptureFixture):
    run = RunFolder(pretrain(config))
    file = run.checkpoints / f"step-{best_step(run):08d}" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    resume_pretraining(config)
    assert f"no weights of the best checkpoint are written: {file} is truncated" in caplog.text


def test_validation_data_are_needed(config):
    with pytest.raises(
        ValueError, match=r"keep_best validation_captioning needs validation data; set them with --data"
    ):
        pretrain(replace(config, data=replace(config.data, validation=None)))
    assert not Path(config.out).exists()


def test_a_metric_that_is_not_logged_is_named(config, caplog: pytest.LogCaptureFixture):
    run = pretrain(replace(config, training=replace(config.training, keep_best="validation_vqa_accuracy")))
    assert caplog.text.count("step 2 has logged no validation_vqa_accuracy, so its checkpoint cannot be the best") == 1
    assert caplog.text.count("cannot be the best") == 1
    assert not RunFolder(run).best_weights.exists()
