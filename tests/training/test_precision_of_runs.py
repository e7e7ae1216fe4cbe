"""What `runtime.precision auto` stands for is chosen once, and a run keeps it."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from sycoca.model.automatic_precision import VARIABLE
from sycoca.presets.pretrain import flickr8k, tiny
from sycoca.training.engine.tracking import read_metrics
from sycoca.training.pretrain import pretrain, resume_pretraining
from sycoca.training.recipes.pretraining.config import PretrainConfig
from sycoca.training.run_folder import RunFolder


def losses(folder: RunFolder) -> list[float | None]:
    return [line["captioning"] for line in read_metrics(folder.metrics)]


def test_a_run_keeps_the_chosen_precision_when_auto_has_come_to_mean_another(
    make_run_config, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(VARIABLE, "bf16")
    config = make_run_config()
    run = RunFolder(pretrain(config))
    monkeypatch.setenv(VARIABLE, "fp32")
    assert run.read_config(PretrainConfig).runtime.precision == "bf16"
    saved = run.checkpoints / "step-00000004" / "config.yaml"
    assert yaml.safe_load(saved.read_text("utf-8"))["runtime"]["precision"] == "bf16"
    assert "| precision | bf16 |" in (run.weights / "README.md").read_text("utf-8")

    named = {
        precision: make_run_config(runtime=replace(config.runtime, precision=precision))
        for precision in ("fp32", "bf16")
    }
    assert losses(run) == losses(RunFolder(pretrain(named["bf16"]))) != losses(RunFolder(pretrain(named["fp32"])))
    resume_pretraining(replace(run.read_config(PretrainConfig), training=replace(config.training, steps=6)))
    assert run.log.read_text("utf-8").count(" in bf16, 1 process") == 2
    assert " in fp32, 1 process" not in run.log.read_text("utf-8")


def test_a_run_of_a_version_that_kept_auto_goes_on_in_fp32(make_run_config, monkeypatch: pytest.MonkeyPatch):
    config = make_run_config()
    run = RunFolder(pretrain(config))
    plain = yaml.safe_load(run.config.read_text("utf-8"))
    plain["runtime"]["precision"] = "auto"
    run.config.write_text(yaml.safe_dump(plain), "utf-8")
    monkeypatch.setenv(VARIABLE, "bf16")
    resume_pretraining(replace(run.read_config(PretrainConfig), training=replace(config.training, steps=6)))
    assert run.read_config(PretrainConfig).runtime.precision == "fp32"
    assert " in bf16, 1 process" not in run.log.read_text("utf-8")


@pytest.mark.parametrize("preset", [tiny, flickr8k])
def test_presets_whose_figures_are_published_name_their_precision(preset):
    assert preset().runtime.precision == "fp32"


def test_a_wrong_word_in_the_environment_ends_the_run_before_it_writes(
    make_run_config, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(VARIABLE, "half")
    config = make_run_config()
    with pytest.raises(ValueError, match="SYCOCA_AUTO_PRECISION is 'half'"):
        pretrain(config)
    assert not Path(config.out).exists()
