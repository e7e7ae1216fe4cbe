"""When and how often patches are hidden and masked: shares of images, and fractions of training."""

from dataclasses import replace

import pytest
import torch

from builders.models import BatchMaker, roughened
from builders.two_processes import rows_of
from reference import slow
from sycoca.model.config import SyCoCaConfig
from sycoca.model.draws import uniform_draws
from sycoca.model.masking import choose_patches
from sycoca.model.masking_config import MaskingConfig
from sycoca.model.sycoca import SyCoCa
from sycoca.objectives.config import ObjectivesConfig
from sycoca.objectives.contrastive import Ranks
from sycoca.objectives.pretraining import held_out_losses, pretraining_losses
from sycoca.objectives.schedules import kinds_of_steps, masking_at, masks_images_at
from sycoca.records import ImageTextBatch, LossTerms, TrainingProgress
from sycoca.weights.plain_config import versioned_plain

HALF = MaskingConfig(captioning_hidden_share=0.5)
CAPTIONING = ObjectivesConfig(contrastive_weight=0.0, masked_image_weight=0.0)


def losses(model: SyCoCa, batch: ImageTextBatch, masking=None, objectives=None) -> LossTerms:
    return pretraining_losses(model, batch, masking or MaskingConfig(), objectives or ObjectivesConfig(), Ranks())


def at(step: int, num_steps: int = 10) -> TrainingProgress:
    return TrainingProgress(step=step, num_steps=num_steps)


@pytest.fixture(params=["cls", "attention"])
def with_pooling(request: pytest.FixtureRequest, config: SyCoCaConfig) -> SyCoCa:
    image_encoder = replace(config.image_encoder, pooling=request.param)
    return roughened(SyCoCa(replace(config, image_encoder=image_encoder)).double())


@torch.no_grad()
def test_each_caption_has_the_memory_that_its_image_draws(with_pooling: SyCoCa, make_batch: BatchMaker):
    model, batch = with_pooling, make_batch(batch=8)
    batch = replace(batch, num_tokens=int((~batch.is_padding).sum()))
    images, texts = model.encode_images(batch.images), model.encode_texts(batch.tokens, batch.is_padding)
    scores = model.patch_scores(images, texts, batch.is_padding, "token_max")
    kept = choose_patches(scores, HALF, batch.draw_keys).hidden.others
    draws = uniform_draws(batch.draw_keys, "has patches hidden from captioning", [], torch.device("cpu"))
    assert 0 < (draws < 0.5).sum() < 8
    total = 0.0
    for row in range(8):
        own = model.encode_images(batch.images[row : row + 1])
        memory = model.memory(own, kept[row : row + 1] if draws[row] < 0.5 else None)
        logits = model.vocabulary_logits(model.caption_states(texts.token_states[row : row + 1], memory))
        is_padding = batch.is_padding[row : row + 1]
        total += slow.captioning(logits, batch.tokens[row : row + 1], is_padding) * (int((~is_padding).sum()) - 1)
    found = losses(model, batch, HALF, CAPTIONING).captioning
    assert found.item() == pytest.approx(total / batch.totals.num_labels, rel=1e-10)


def test_shares_do_not_depend_on_micro_batches(with_pooling: SyCoCa, make_batch: BatchMaker):
    model, batch = with_pooling, make_batch(batch=8)
    found = []
    for size in (8, 2):
        model.zero_grad()
        parts = [rows_of(batch, slice(start, start + size)) for start in range(0, 8, size)]
        loss = torch.stack([losses(model, part, HALF, CAPTIONING).captioning for part in parts]).sum()
        loss.backward()
        found.append((loss.detach(), [p.grad for p in model.parameters() if p.grad is not None]))
    (whole, gradients), (cut, cut_gradients) = found
    torch.testing.assert_close(cut, whole, rtol=1e-12, atol=1e-12)
    for one, other in zip(cut_gradients, gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_the_defaults_change_no_bit_in_any_step(model: SyCoCa, make_batch: BatchMaker):
    batch = make_batch()
    for masking in (MaskingConfig(), MaskingConfig(hides_from_captioning=False), MaskingConfig(strategy="random")):
        plain = losses(model, batch, masking).named()
        for step in (1, 10):
            assert losses(model, replace(batch, progress=at(step)), masking).named() == plain


def test_masking_follows_the_progress():
    masking = MaskingConfig(strategy="inverse", attentive_from=0.2, captioning_hidden_until=0.8)
    found = [masking_at(masking, at(step)) for step in range(1, 11)]
    assert [one.strategy for one in found] == ["random"] * 2 + ["inverse"] * 8
    assert [one.hides_from_captioning for one in found] == [True] * 8 + [False] * 2
    assert masking_at(masking, None) == masking
    never = replace(masking, hides_from_captioning=False)
    assert not any(masking_at(never, at(step)).hides_from_captioning for step in range(1, 11))


def test_tg_mim_is_in_every_so_many_steps_from_a_fraction_on():
    objectives = ObjectivesConfig(masked_image_every=3, masked_image_from=0.5)
    assert [step for step in range(1, 13) if masks_images_at(objectives, at(step, 12))] == [9, 12]
    assert masks_images_at(ObjectivesConfig(masked_image_from=0.5), at(7, 12))  # six of twelve are done
    assert masks_images_at(objectives, None)
    assert not masks_images_at(ObjectivesConfig(masked_image_weight=0.0), at(3, 12))


def test_kinds_of_steps_have_their_shares():
    masking = MaskingConfig(captioning_hidden_until=0.75)
    kinds = kinds_of_steps(masking, ObjectivesConfig(masked_image_every=2), 8)
    assert [(kind.example.step, kind.share) for kind in kinds] == [(1, 0.375), (2, 0.375), (7, 0.125), (8, 0.125)]
    (only,) = kinds_of_steps(MaskingConfig(), ObjectivesConfig(), 8)
    assert (only.example, only.share) == (at(1, 8), 1.0)


def test_the_losses_of_a_step_are_those_of_its_masking(model: SyCoCa, make_batch: BatchMaker):
    batch = make_batch()
    masking = MaskingConfig(attentive_from=0.3, captioning_hidden_until=0.7)
    for step, same in (
        (1, MaskingConfig(strategy="random")),
        (5, MaskingConfig()),
        (9, MaskingConfig(hides_from_captioning=False)),
    ):
        found = losses(model, replace(batch, progress=at(step)), masking)
        assert found.named() == losses(model, batch, same).named()


def test_a_step_without_tg_mim_encodes_images_once_and_computes_no_image_decoder(model: SyCoCa, make_batch: BatchMaker):
    calls: list[str] = []
    for name in ("image_encoder", "image_decoder"):
        model.get_submodule(name).register_forward_hook(lambda *_, name=name: calls.append(name))
    batch, objectives = make_batch(), ObjectivesConfig(masked_image_every=2)
    without = losses(model, replace(batch, progress=at(1)), objectives=objectives)
    assert (calls, list(without.named())) == (["image_encoder"], ["contrastive", "captioning"])
    assert losses(model, replace(batch, progress=at(2)), objectives=objectives) == losses(model, batch)


@torch.no_grad()
def test_held_out_losses_are_all_losses_whatever_share_and_step(model: SyCoCa, make_batch: BatchMaker):
    batch = make_batch()
    masking = replace(HALF, attentive_from=0.9, captioning_hidden_until=0.1)
    objectives = ObjectivesConfig(masked_image_every=7, masked_image_from=0.9)
    found = held_out_losses(model, replace(batch, progress=at(2)), masking, objectives)
    assert found == held_out_losses(model, batch, MaskingConfig(), ObjectivesConfig())


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("captioning_hidden_share", 0.0, "hides_from_captioning to false"),
        ("captioning_hidden_share", 1.5, "hides_from_captioning to false"),
        ("captioning_hidden_until", 0.0, "hides_from_captioning to false"),
        ("attentive_from", 1.0, "masking.strategy to random"),
        ("attentive_from", -0.1, "masking.strategy to random"),
    ],
)
def test_fractions_outside_of_their_range_are_refused(name: str, value: float, remedy: str):
    with pytest.raises(ValueError, match=rf"masking\.{name} must be .*, got {value}; .*{remedy}"):
        MaskingConfig(**{name: value})


def test_steps_that_would_train_nothing_are_refused():
    with pytest.raises(ValueError, match=r"objectives\.masked_image_every must be at least 1, got 0"):
        ObjectivesConfig(masked_image_every=0)
    with pytest.raises(ValueError, match=r"masked_image_from must be .*, got 1\.0; .*masked_image_weight to 0"):
        ObjectivesConfig(masked_image_from=1.0)
    for own in ({"masked_image_every": 2}, {"masked_image_from": 0.5}):
        with pytest.raises(ValueError, match="steps without TG-MIM would train nothing: set"):
            ObjectivesConfig(contrastive_weight=0.0, captioning_weight=0.0, **own)
        ObjectivesConfig(contrastive_weight=0.0, **own)


def test_config_json_names_them_only_where_they_are_used():
    plain = versioned_plain(MaskingConfig())
    assert (plain["format_version"], set(plain)) == (
        4,
        {
            "format_version",
            "strategy",
            "score",
            "captioning_hidden_ratio",
            "reconstruction_masked_ratio",
            "hides_from_captioning",
        },
    )
    for own in ({"captioning_hidden_share": 0.5}, {"captioning_hidden_until": 0.5}, {"attentive_from": 0.5}):
        used = versioned_plain(MaskingConfig(**own))
        assert used["format_version"] == 5
        assert own.items() <= used.items()
