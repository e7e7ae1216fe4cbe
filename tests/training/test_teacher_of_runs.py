"""Runs whose TG-MIM predicts what the averaged weights make of masked patches."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sycoca.inference.load import load
from sycoca.objectives.config import ObjectivesConfig
from sycoca.presets.finetune import retrieval
from sycoca.training.pretrain import pretrain, resume_pretraining
from sycoca.training.recipes.pretraining.config import PretrainConfig
from sycoca.training.run_folder import RunFolder

OBJECTIVES = ObjectivesConfig(masked_feature_weight=0.5)


def test_what_it_needs_is_asked_for_in_the_configuration(make_run_config: Callable[..., PretrainConfig]):
    with pytest.raises(ValueError, match="masked_feature_weight needs TG-MIM"):
        ObjectivesConfig(masked_feature_weight=0.5, masked_image_weight=0.0)
    with pytest.raises(ValueError, match="would train nothing"):
        ObjectivesConfig(masked_feature_weight=0.5, masked_image_every=2, contrastive_weight=0.0, captioning_weight=0.0)
    with pytest.raises(ValueError, match=r"set training\.average_decay"):
        make_run_config(objectives=OBJECTIVES)
    with pytest.raises(ValueError, match="for pretraining alone"):
        replace(retrieval("weights", "captions.jsonl"), objectives=OBJECTIVES)


def test_a_run_resumes_with_its_teacher(make_run_config: Callable[..., PretrainConfig], tmp_path: Path):
    config = make_run_config()
    sizes = {"steps": 4, "global_batch_size": 4, "micro_batch_size": 2, "average_decay": 0.5, "save_every": 2}
    training = replace(config.training, **sizes)
    config = replace(config, objectives=replace(OBJECTIVES, masked_feature_weight=2.0), training=training)
    run = pretrain(config)
    cut = Path(shutil.copytree(run, tmp_path / "cut"))
    shutil.rmtree(cut / "checkpoints" / "step-00000004")
    shutil.rmtree(cut / "weights")
    resume_pretraining(replace(RunFolder(cut).read_config(PretrainConfig), out=str(cut)))
    one, two = (load_file(path / "weights" / "model.safetensors") for path in (run, cut))
    assert "image_decoder.features.weight" in one
    assert all(torch.equal(one[name], two[name]) for name in one)
    predictor = load(run / "weights")
    assert predictor.config.model.image_decoder is not None
    assert predictor.config.model.image_decoder.predicts_features
