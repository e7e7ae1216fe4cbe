"""Images of which only the patches that captioning sees are encoded with gradient."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from builders.models import BatchMaker, roughened
from builders.two_processes import rows_of
from reference import slow
from sycoca.model.config import SyCoCaConfig
from sycoca.model.masking import choose_patches
from sycoca.model.masking_config import MaskingConfig
from sycoca.model.sycoca import SyCoCa
from sycoca.objectives.config import ObjectivesConfig
from sycoca.objectives.contrastive import Ranks
from sycoca.objectives.drop_path import residual_factors
from sycoca.objectives.pretraining import embed_pairs, held_out_losses, pretraining_losses
from sycoca.presets.finetune import retrieval
from sycoca.presets.pretrain import tiny
from sycoca.records import ImageTextBatch, ImageTokens, LossTerms
from sycoca.training.engine.recomputation import recompute_blocks
from sycoca.training.recipes.image_text.task import ImageTextTask

SEEN = ObjectivesConfig(encoded_patches="seen")
RATIOS = MaskingConfig(captioning_hidden_ratio=0.25)


def losses(model: SyCoCa, batch: ImageTextBatch, masking: MaskingConfig = RATIOS, rate=None) -> LossTerms:
    return pretraining_losses(model, batch, masking, SEEN, Ranks(), rate)


def gradients(task: ImageTextTask, batches: list[ImageTextBatch]) -> dict[str, Tensor]:
    task.zero_grad()
    with torch.no_grad():
        batches = list(task.with_global_contrast(batches, lambda same: same))
    torch.stack([task.total_loss(task(one)) for one in batches]).sum().backward()
    return {name: p.grad.clone() for name, p in task.named_parameters() if p.grad is not None}


@torch.no_grad()
@pytest.mark.parametrize("strategy", ["attentive", "random"])
def test_the_losses_are_those_of_the_chosen_patches(model: SyCoCa, make_batch: BatchMaker, strategy):
    batch, masking = make_batch(), replace(RATIOS, strategy=strategy)
    terms = losses(model, batch, masking, 0.5)
    images, texts = model.encode_images(batch.images), model.encode_texts(batch.tokens, batch.is_padding)
    choice = choose_patches(model.patch_scores(images, texts, batch.is_padding, "token_max"), masking, batch.draw_keys)
    factors = residual_factors(batch.draw_keys, model.config.image_encoder.depth, 0.5, torch.device("cpu"))
    cls_tokens, patches = model.image_encoder(batch.images, visible=choice.hidden.others, residual_factors=factors)
    embeds = torch.nn.functional.normalize(model.image_encoder.embed(cls_tokens, patches), dim=-1)
    expected = slow.contrastive(embeds, texts.text_embeds, model.logit_scale().item())
    assert terms.contrastive.item() == pytest.approx(expected, rel=1e-10)
    memory = model.image_encoder.memory(cls_tokens, patches)
    logits = model.vocabulary_logits(model.caption_states(texts.token_states, memory))
    assert terms.captioning.item() == pytest.approx(slow.captioning(logits, batch.tokens, batch.is_padding), rel=1e-10)
    predicted = model.predict_masked(batch.images, choice.masked, texts.token_states, batch.is_padding, factors).pixels
    rebuilt = slow.masked_image(predicted, batch.images, choice.masked.is_chosen, 4, normalizes=True)
    assert terms.masked_image.item() == pytest.approx(rebuilt, rel=1e-10)


@pytest.mark.parametrize(("strategy", "passes"), [("attentive", 1), ("inverse", 1), ("random", 0)])
def test_only_one_image_in_all_is_encoded_with_gradient(model: SyCoCa, make_batch: BatchMaker, strategy, passes):
    seen: list[tuple[bool, int]] = []
    model.image_encoder.register_forward_hook(lambda _, __, out: seen.append((out[1].requires_grad, out[1].shape[1])))
    losses(model, make_batch(), MaskingConfig(strategy=strategy))
    assert seen == [(False, 16)] * passes + [(True, 8), (True, 8)]


def test_the_two_passes_cover_the_image(model: SyCoCa, make_batch: BatchMaker):
    visible: list[Tensor] = []
    model.image_encoder.register_forward_pre_hook(
        lambda _, __, options: visible.append(options["visible"]), with_kwargs=True
    )
    losses(model, make_batch(), MaskingConfig())
    assert visible[0] is None
    assert torch.cat(visible[1:], dim=1).sort(dim=1).values.tolist() == [list(range(16))] * 6


@pytest.mark.parametrize("rate", [None, 0.5])
def test_gradient_caching_embeds_what_the_losses_compare(model: SyCoCa, make_batch: BatchMaker, monkeypatch, rate):
    batch = make_batch()
    compared = []
    monkeypatch.setattr(
        "sycoca.objectives.pretraining.contrastive_loss",
        lambda images, texts, *_: compared.append((images, texts)) or images.sum(),
    )
    losses(model, batch, RATIOS, rate)
    with torch.no_grad():
        embeds = embed_pairs(model, batch, RATIOS, SEEN, rate)
        whole = embed_pairs(model, batch, RATIOS, ObjectivesConfig(), rate)
    for found, expected in zip(embeds, compared[0], strict=True):
        assert torch.equal(found, expected)
    assert not torch.equal(whole[0], embeds[0])


def test_a_step_does_not_depend_on_micro_batches_or_recomputation(config: SyCoCaConfig, make_batch: BatchMaker):
    model, batch = roughened(SyCoCa(config).double()), make_batch()
    task = ImageTextTask(model, masking=RATIOS, objectives=SEEN, drop_path=0.3)
    whole = gradients(task, [batch])
    parts = gradients(task, [rows_of(batch, slice(0, 3)), rows_of(batch, slice(3, 6))])
    recompute_blocks(model)
    recomputed = gradients(task, [batch])
    assert whole.keys() == parts.keys() == recomputed.keys() == {name for name, _ in task.named_parameters()}
    torch.testing.assert_close(parts, whole, rtol=1e-9, atol=1e-12)
    for name, gradient in whole.items():
        assert torch.equal(recomputed[name], gradient), name


def test_the_pass_without_gradient_costs_none_under_autocast(config: SyCoCaConfig, make_batch: BatchMaker):
    """Autocast keeps half-precision copies of weights: one that was made without gradient would cut the weight off."""
    model, batch = SyCoCa(config), make_batch(dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = losses(model, batch)
    (terms.contrastive + terms.captioning).backward()
    without = [name for name, p in model.named_parameters() if p.grad is None and not name.startswith("image_decoder")]
    assert without == []


def test_held_out_losses_are_those_of_whole_images(model: SyCoCa, make_batch: BatchMaker):
    batch = make_batch()
    seen = held_out_losses(model, batch, RATIOS, SEEN)
    whole = held_out_losses(model, batch, RATIOS, ObjectivesConfig())
    assert seen.pop("masked_captioning").item() == losses(model, batch).captioning.item()
    assert whole.pop("masked_captioning").item() != losses(model, batch).captioning.item()
    assert {name: loss.item() for name, loss in seen.items()} == {name: loss.item() for name, loss in whole.items()}


def test_cached_features_are_of_whole_images(model: SyCoCa, make_batch: BatchMaker):
    encoded = model.encode_images(make_batch().images)
    cached = ImageTokens(cls_tokens=encoded.cls_tokens, patch_tokens=encoded.patch_tokens)
    with pytest.raises(ValueError, match="the pixels are needed, and cached features do not have them"):
        model.encode_images(cached, None, torch.tensor([[0, 1]] * 6))


def test_what_contradicts_it_is_refused():
    config = tiny()
    decoder = replace(config.model.image_decoder, mask_tokens="encoder")
    with pytest.raises(ValueError, match=r"to 'all', or model\.image_decoder\.mask_tokens to 'decoder'"):
        replace(config, objectives=SEEN, model=replace(config.model, image_decoder=decoder))
    with pytest.raises(ValueError, match=r"captioning sees all patches: .*, or masking\.hides_from_captioning"):
        replace(config, objectives=SEEN, masking=MaskingConfig(hides_from_captioning=False))
    start = replace(config.start, weights="w", frozen=("image_encoder",))
    alone = replace(SEEN, masked_image_weight=0.0)
    with pytest.raises(
        ValueError, match=r"with objectives\.encoded_patches seen images are encoded in every step; set it to 'all'"
    ):
        replace(config, objectives=alone, start=start, data=replace(config.data, cached_views=1))
    with pytest.raises(ValueError, match=r"\(in fine-tuning hides_from_captioning\)"):
        replace(retrieval("weights", "train.jsonl"), objectives=SEEN)
