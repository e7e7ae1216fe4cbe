"""TG-MIM that also predicts what a slow-moving teacher makes of the masked patches."""

from dataclasses import replace

import pytest
import torch

from builders.models import BatchMaker, roughened
from builders.two_processes import rows_of
from sycoca.model.config import SyCoCaConfig
from sycoca.model.masking import choose_patches
from sycoca.model.masking_config import MaskingConfig
from sycoca.model.sycoca import SyCoCa
from sycoca.objectives.config import ObjectivesConfig
from sycoca.objectives.contrastive import Ranks
from sycoca.objectives.masked_image import masked_feature_loss
from sycoca.objectives.pretraining import held_out_losses, pretraining_losses
from sycoca.records import ImageTextBatch, TrainingProgress
from sycoca.training.config import OptimizerConfig
from sycoca.training.engine.optimization.optimizer import build_optimizer
from sycoca.training.engine.optimization.weight_average import WeightAverage
from sycoca.training.engine.runtime import Runtime
from sycoca.training.engine.update import Updater
from sycoca.training.recipes.image_text.task import ImageTextTask
from sycoca.training.runtime_config import RuntimeConfig

OBJECTIVES = ObjectivesConfig(masked_feature_weight=0.5)
MASKING = MaskingConfig()


@pytest.fixture
def model(config: SyCoCaConfig) -> SyCoCa:
    assert config.image_decoder is not None
    model = SyCoCa(replace(config, image_decoder=replace(config.image_decoder, predicts_features=True))).double()
    return roughened(model)


def as_is(batch: ImageTextBatch) -> ImageTextBatch:
    return batch


def taught(task: ImageTextTask, batch: ImageTextBatch, teacher: WeightAverage) -> ImageTextBatch:
    with teacher.in_place(), torch.no_grad():
        (found,) = task.with_teacher([batch], as_is)
    return found


def test_the_error_is_that_of_normalized_features():
    generator = torch.Generator().manual_seed(0)
    predicted, teacher = (torch.randn(3, 5, 24, generator=generator).double() for _ in range(2))
    deviation = teacher.var(-1, correction=0, keepdim=True).sqrt()
    target = (teacher - teacher.mean(-1, keepdim=True)) / deviation
    expected = (predicted - target).square().mean()
    torch.testing.assert_close(masked_feature_loss(predicted, teacher, 3), expected, rtol=1e-4, atol=0)
    # Nothing but zeros: the error of a model that knows nothing.
    assert masked_feature_loss(torch.zeros_like(teacher), 7 + 3 * teacher, 3).item() == pytest.approx(1.0, rel=1e-4)


def test_a_teacher_has_the_averaged_weights_and_no_gradient(model: SyCoCa, make_batch: BatchMaker):
    batch = make_batch()
    teacher = WeightAverage(model, 0.5)
    before = model.encode_images(batch.images).patch_tokens.detach()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    weights = {name: one.clone() for name, one in model.state_dict().items()}
    task = ImageTextTask(model, masking=MASKING, objectives=OBJECTIVES)
    found = taught(task, batch, teacher)
    assert found.teacher_tokens is not None
    assert not found.teacher_tokens.requires_grad
    torch.testing.assert_close(found.teacher_tokens, before)
    assert all(torch.equal(one, weights[name]) for name, one in model.state_dict().items())
    teacher.move(1.0)  # now the average is the model
    now = taught(task, batch, teacher).teacher_tokens
    torch.testing.assert_close(now, model.encode_images(batch.images).patch_tokens.detach())


def test_the_loss_is_that_of_masked_patches(model: SyCoCa, make_batch: BatchMaker):
    batch = make_batch()
    task = ImageTextTask(model, masking=MASKING, objectives=OBJECTIVES)
    batch = taught(task, batch, WeightAverage(model, 0.9))
    losses = task(batch)
    plain = pretraining_losses(model, batch, MASKING, ObjectivesConfig(), Ranks())
    assert plain.masked_feature is None
    assert losses.masked_feature is not None
    for name, value in plain.named().items():
        torch.testing.assert_close(losses.named()[name], value)
    images, texts = model.encode_images(batch.images), model.encode_texts(batch.tokens, batch.is_padding)
    scores = model.patch_scores(images, texts, batch.is_padding, MASKING.score)
    masked = choose_patches(scores, MASKING, batch.draw_keys).masked
    predicted = model.predict_masked(batch.images, masked, texts.token_states, batch.is_padding).features
    assert predicted is not None
    assert batch.teacher_tokens is not None
    rows = torch.arange(len(predicted))[:, None]
    expected = masked_feature_loss(predicted, batch.teacher_tokens[rows, masked.chosen], len(predicted))
    torch.testing.assert_close(losses.masked_feature, expected)
    losses.masked_feature.backward()
    assert model.image_decoder is not None
    assert model.image_decoder.features is not None
    assert model.image_decoder.features.weight.grad is not None
    assert model.image_decoder.pixels.weight.grad is None
    # Held out, the teacher's weights are those of the model.
    held_out = held_out_losses(model, batch, MASKING, OBJECTIVES)
    torch.testing.assert_close(held_out["masked_feature"], expected)


def test_micro_batches_have_the_loss_of_the_whole_batch(model: SyCoCa, make_batch: BatchMaker):
    batch = make_batch()
    size = len(batch.tokens)
    task = ImageTextTask(model, masking=MASKING, objectives=OBJECTIVES)
    teacher = WeightAverage(model, 0.9)
    parts = task.with_teacher([rows_of(batch, slice(i, i + 1)) for i in range(size)], as_is)
    whole = task(taught(task, batch, teacher)).masked_feature
    torch.testing.assert_close(sum(task(part).masked_feature for part in parts), whole)


def test_steps_without_tg_mim_need_no_teacher(model: SyCoCa, make_batch: BatchMaker):
    every_second = ImageTextTask(model, masking=MASKING, objectives=replace(OBJECTIVES, masked_image_every=2))
    first, second = (every_second.at([make_batch()], TrainingProgress(step=step, num_steps=4)) for step in (1, 2))
    assert [every_second.needs_teacher(step) for step in (first, second)] == [False, True]
    assert every_second(first[0]).masked_feature is None
    assert not ImageTextTask(model, masking=MASKING, objectives=ObjectivesConfig()).needs_teacher(second)


def test_an_update_asks_its_teacher_and_trains_from_the_weights_that_were_there(model: SyCoCa, make_batch: BatchMaker):
    batch = make_batch()
    teacher = WeightAverage(model, 0.9)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    task = ImageTextTask(model, masking=MASKING, objectives=OBJECTIVES)
    expected = task(taught(task, batch, teacher)).named()
    with Runtime(RuntimeConfig(device="cpu", precision="fp32")) as runtime:
        optimizer = build_optimizer(model, OptimizerConfig())
        alone = Updater(runtime, task, optimizer, clip_norm=None)
        with pytest.raises(ValueError, match=r"need a teacher.*training\.average_decay"):
            alone.update([batch], lr=0.0)
        found = Updater(runtime, task, optimizer, clip_norm=None, teacher=teacher).update([batch], lr=0.0)
    for name, value in expected.items():
        torch.testing.assert_close(found.terms[name], value.detach())


def test_rounded_weights_of_the_teacher_are_not_kept_for_other_passes(model: SyCoCa, make_batch: BatchMaker):
    """Autocast keeps the rounded weights of a block; GradCache's pass before the step must not take the teacher's."""
    batch = replace(make_batch(), images=make_batch().images.float())
    parts = [rows_of(batch, slice(0, 3)), rows_of(batch, slice(3, 6))]
    model.float()
    teacher = WeightAverage(model, 0.9)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    found = {}
    for objectives in (OBJECTIVES, ObjectivesConfig()):
        task = ImageTextTask(model, masking=MASKING, objectives=objectives)
        with Runtime(RuntimeConfig(device="cpu", precision="bf16")) as runtime:
            updater = Updater(runtime, task, build_optimizer(model, OptimizerConfig()), clip_norm=None, teacher=teacher)
            found[objectives] = updater.update(parts, lr=0.0).terms["contrastive"]
    torch.testing.assert_close(found[OBJECTIVES], found[ObjectivesConfig()])
