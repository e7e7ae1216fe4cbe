"""The table of the paper's settings: its fields exist, coca_base has their values, each difference is named."""

from dataclasses import replace
from operator import attrgetter

import pytest

from builders.documents import ROOT
from sycoca.facts.paper_facts import PAPER_SETTINGS, PaperSetting, deviations
from sycoca.objectives.config import ObjectivesConfig
from sycoca.presets.pretrain import coca_base, pretrain_preset
from sycoca.training.recipes.pretraining.config import PretrainConfig

OTHER_VALUES = {"model.image_encoder.pooling": "max", "model.text_encoder.pooling": "mean"} | {
    "objectives.contrastive_loss": "sigmoid",
    "objectives.encoded_patches": "seen",
    "objectives.captions_per_image": 5,
    "masking.strategy": "random",
    "masking.score": "caption",
    "masking.hides_from_captioning": False,
    "objectives.masked_image_every": 4,
}


def changed(config: PretrainConfig, field: str, value: object) -> PretrainConfig:
    *owners, name = field.split(".")
    if not owners:
        return replace(config, **{name: value})
    owner = owners[0]
    inner = changed(getattr(config, owner), ".".join([*owners[1:], name]), value)
    return replace(config, **{owner: inner})


def test_the_papers_preset_has_the_papers_settings():
    assert deviations(coca_base()) == []


@pytest.mark.parametrize("setting", PAPER_SETTINGS, ids=lambda setting: setting.field)
def test_every_setting_that_differs_is_named_alone(setting: PaperSetting):
    value = OTHER_VALUES.get(setting.field, 0.25)
    # The paper says nothing of an average of the weights, which a teacher's features need.
    averaged = changed(coca_base(), "training.average_decay", 0.9)
    config = changed(averaged, setting.field, value)
    assert attrgetter(setting.field)(config) == value
    (text,) = deviations(config)
    assert text.startswith(f"{setting.title} ")
    assert "(paper: " in text


def test_settings_of_an_objective_without_weight_are_left_out():
    config = changed(coca_base(), "masking.captioning_hidden_ratio", 0.25)
    config = changed(config, "masking.score", "caption")
    clip = replace(config, objectives=ObjectivesConfig(captioning_weight=0.0, masked_image_weight=0.0))
    assert deviations(clip) == ["weight of IC 0 (paper: 2)", "weight of TG-MIM 0 (paper: 1)"]
    coca = replace(config, objectives=ObjectivesConfig(masked_image_weight=0.0))
    assert "patch score caption (paper: token_max)" in deviations(coca)
    assert "ratio of patches hidden from captioning 0.25 (paper: 0.5)" in deviations(coca)


def test_switches_are_shown_in_words():
    assert deviations(changed(coca_base(), "masking.hides_from_captioning", False)) == [
        "hiding of patches from captioning no (paper: yes)"
    ]


def test_readme_names_the_settings_behind_its_figures():
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    for preset in ("tiny", "flickr8k"):
        assert [one for one in deviations(pretrain_preset(preset)) if one not in text] == []
