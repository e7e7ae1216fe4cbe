from dataclasses import replace

import pytest
import torch

from builders.models import BatchMaker
from builders.two_processes import rows_of
from sycoca.model.config import SyCoCaConfig
from sycoca.model.masking_config import MaskingConfig
from sycoca.model.sycoca import SyCoCa
from sycoca.objectives.config import ObjectivesConfig
from sycoca.presets.pretrain import pretrain_preset
from sycoca.records import LossTerms
from sycoca.training.recipes.finetuning import without_heads
from sycoca.training.recipes.image_text.task import ImageTextTask
from sycoca.training.recipes.pretraining.config import resolved_model_config


def task_of(config: SyCoCaConfig, objectives: ObjectivesConfig) -> ImageTextTask:
    without = {
        name: None
        for name, weight in (
            ("text_decoder", objectives.captioning_weight),
            ("image_decoder", objectives.masked_image_weight),
        )
        if weight == 0
    }
    model = SyCoCa(replace(config, has_logit_bias=objectives.needs_logit_bias, **without)).double()
    return ImageTextTask(model, masking=MaskingConfig(), objectives=objectives)


def test_total_is_the_weighted_sum(config: SyCoCaConfig):
    task = task_of(config, ObjectivesConfig(contrastive_weight=0.5, captioning_weight=2.0, masked_image_weight=3.0))
    terms = LossTerms(contrastive=torch.tensor(8.0), captioning=torch.tensor(0.25), masked_image=torch.tensor(-1.0))
    assert task.total_loss(terms).item() == 0.5 * 8.0 + 2.0 * 0.25 - 3.0


def test_total_leaves_out_what_is_switched_off(config: SyCoCaConfig):
    task = task_of(config, ObjectivesConfig(contrastive_weight=0.0, captioning_weight=2.0, masked_image_weight=0.0))
    assert task.total_loss(LossTerms(captioning=torch.tensor(1.5))).item() == 3.0


@pytest.mark.parametrize("pooling", ["cls", "mean", "single", "parallel", "cascade"])
@pytest.mark.parametrize("weights", [(1, 2, 1), (1, 2, 0), (1, 0, 0), (1, 0, 1), (0, 2, 1), (0, 0, 1), (0, 2, 0)])
@pytest.mark.parametrize("frozen", [(), ("image_encoder",), ("text_encoder",)])
def test_says_whether_parameters_stay_unused(config: SyCoCaConfig, make_batch, pooling: str, weights, frozen):
    """DDP hangs or fails where this is wrong."""
    image = config.image_encoder
    if pooling in ("single", "parallel", "cascade"):
        image = replace(image, pooling="attention", pooler=replace(image.pooler, kind=pooling))
    else:
        image = replace(image, pooling=pooling)
    names = ("contrastive_weight", "captioning_weight", "masked_image_weight")
    task = task_of(
        replace(config, image_encoder=image), ObjectivesConfig(**dict(zip(names, map(float, weights), strict=True)))
    )
    for part in frozen:
        task.model.get_submodule(part).requires_grad_(False)
    task.total_loss(task(make_batch())).backward()
    learning = [(name, parameter) for name, parameter in task.named_parameters() if parameter.requires_grad]
    unused = [name for name, parameter in learning if parameter.grad is None]
    assert task.leaves_parameters_unused() or not unused, unused


def test_after_an_update_the_temperature_is_in_its_range(config: SyCoCaConfig):
    task = task_of(config, ObjectivesConfig())
    with torch.no_grad():
        task.model.log_logit_scale.fill_(9.0)
    task.after_update()
    assert task.logged_values() == {"logit_scale": pytest.approx(100.0)}


def test_everything_trained_is_in_a_component_or_the_temperature(config: SyCoCaConfig):
    task = task_of(config, ObjectivesConfig())
    inside = {id(parameter) for component in task.components() for parameter in component.parameters()}
    outside = [name for name, parameter in task.named_parameters() if id(parameter) not in inside]
    assert outside == ["model.log_logit_scale"]


def test_sigmoid_losses_train_a_bias_in_every_way(config: SyCoCaConfig, make_batch: BatchMaker):
    objectives = ObjectivesConfig(contrastive_loss="sigmoid", captioning_weight=0.0, masked_image_weight=0.0)
    task, batch = task_of(config, objectives), make_batch()
    assert task.model.logit_bias is not None
    found = []
    (cached,) = task.with_global_contrast([batch], lambda same: same)
    assert cached is batch  # one micro-batch needs no cache
    halves = [rows_of(batch, rows) for rows in (slice(3), slice(3, 6))]
    for batches in ([batch], task.with_global_contrast(halves, lambda same: same)):
        task.zero_grad()
        torch.stack([task.total_loss(task(one)) for one in batches]).sum().backward()
        found.append(task.model.logit_bias.grad)
    torch.testing.assert_close(found[1], found[0])
    assert found[0] is not None
    assert found[0].item() != 0


def test_the_bias_follows_from_the_objectives():
    preset = pretrain_preset("tiny")
    sigmoid = replace(preset, objectives=replace(preset.objectives, contrastive_loss="sigmoid"))
    assert resolved_model_config(sigmoid, 300).has_logit_bias
    assert not resolved_model_config(preset, 300).has_logit_bias
    assert not without_heads({})["has_logit_bias"]
