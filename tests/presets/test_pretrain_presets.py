import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sycoca.experiments.ablation.recipe import read_recipe
from sycoca.model.sycoca import SyCoCa
from sycoca.plain_data import from_plain, overlay, read_yaml, to_plain, write_yaml
from sycoca.presets.pretrain import PRESETS, pretrain_preset
from sycoca.training.recipes.pretraining.config import PretrainConfig, resolved_model_config

RECIPES = Path(__file__).parents[2] / "ablations"

OPEN_CLIP_PARAMETERS = {"vit_b32": 253_560_065, "vit_l14": 638_450_177, "coca_base": 440_337_409}
"""Parameters of open_clip's models of these sizes, counted in its coca_ViT-B-32, coca_ViT-L-14 and coca_base."""


def num_parameters(config: PretrainConfig) -> dict[str, int]:
    with torch.device("meta"):
        model = SyCoCa(resolved_model_config(config, config.model.text_encoder.vocab_size))
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()}
    return {**counts, "all": sum(p.numel() for p in model.parameters())}


@pytest.mark.parametrize("name", PRESETS)
def test_preset_builds_and_survives_a_round_trip_through_a_file(name: str, tmp_path: Path):
    config = pretrain_preset(name)
    assert config.preset == name
    assert config.out == f"runs/{name}"
    assert num_parameters(config)["all"] > 0
    write_yaml(tmp_path / "config.yaml", to_plain(config))
    assert from_plain(PretrainConfig, read_yaml(tmp_path / "config.yaml")) == config


@pytest.mark.parametrize("name", PRESETS)
def test_preset_documents_source_command_cost_and_result(name: str):
    text = " ".join((PRESETS[name].__doc__ or "").split())
    assert "Source: " in text
    assert re.search(rf"sycoca (pretrain {name}|quickstart)", text)
    assert re.search("not yet run|Cost|Measured", text)


@pytest.mark.parametrize(("name", "expected"), OPEN_CLIP_PARAMETERS.items())
def test_sizes_are_those_of_open_clip(name: str, expected: int):
    counts = num_parameters(pretrain_preset(name))
    assert counts["all"] - counts["image_decoder"] == expected


def test_paper_and_its_sizes():
    config = pretrain_preset("coca_base")
    image, text = config.model.image_encoder, config.model.text_encoder
    assert (image.image_size, image.patch_size, image.num_patches, image.pooling) == (288, 18, 256, "cls")
    assert (text.vocab_size, text.context_length) == (64_000, 76)
    assert config.training.global_batch_size == 2048
    assert config.masking.score == "token_max"
    objectives = config.objectives
    assert (objectives.contrastive_weight, objectives.captioning_weight, objectives.masked_image_weight) == (1, 2, 1)


@pytest.mark.parametrize("name", ["tiny", "small", "flickr8k"])
def test_presets_for_own_data_have_the_masks_that_measured_best(name: str):
    masking = pretrain_preset(name).masking
    assert (masking.score, masking.captioning_hidden_ratio) == ("caption", 0.125)


@pytest.mark.parametrize("name", ["vit_b16", "vit_b32", "vit_l14", "coca_base", "sycoca_plus"])
def test_presets_of_the_paper_have_its_masks(name: str):
    masking = pretrain_preset(name).masking
    assert (masking.score, masking.captioning_hidden_ratio) == ("token_max", 0.5)


def test_sycoca_plus_is_the_row_of_its_ablations():
    """What is measured and what is offered are the same settings."""
    rows = {row.name: row for row in read_recipe(RECIPES / "scenes_plus.yaml").rows}
    paper, plus = pretrain_preset("coca_base"), pretrain_preset("sycoca_plus")
    named = replace(paper, preset=plus.preset, out=plus.out)
    assert plus == overlay(named, rows["sycoca_plus"].changes, "sycoca_plus")


def test_scenes_are_not_mirrored_or_cropped():
    """Left and right carry meaning there."""
    assert not pretrain_preset("tiny").transforms.flips
    assert not pretrain_preset("small").transforms.flips


def test_unknown_preset_is_an_error_with_the_closest_name():
    with pytest.raises(ValueError, match=r"there is no preset 'vit_b_16'; did you mean 'vit_b16'\?"):
        pretrain_preset("vit_b_16")
    with pytest.raises(ValueError, match=r"there is no preset 'zzz'; allowed: tiny, small"):
        pretrain_preset("zzz")


def test_tiny_can_be_shortened():
    config = pretrain_preset("tiny")
    assert replace(config, training=replace(config.training, steps=1)).training.steps == 1
