from dataclasses import replace

import pytest
import torch
from torch import nn

from builders.models import BatchMaker, roughened
from sycoca.model.config import ImageEncoderConfig, SyCoCaConfig, TextEncoderConfig
from sycoca.model.decoder_configs import ImageDecoderConfig, TextDecoderConfig
from sycoca.model.packing import Packing
from sycoca.model.patches import split_by_mask
from sycoca.model.pooler_config import AttentionPoolerConfig
from sycoca.model.sycoca import SyCoCa


def with_pooling(config: SyCoCaConfig, image: str, text: str) -> SyCoCa:
    changed = replace(
        config,
        image_encoder=replace(config.image_encoder, pooling=image),
        text_encoder=replace(config.text_encoder, pooling=text),
    )
    return roughened(SyCoCa(changed).double())


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_a_captions_embedding_does_not_depend_on_its_batch_or_padding(config, make_batch: BatchMaker, pooling: str):
    model, batch = with_pooling(config, "cls", pooling), make_batch()
    together = model.encode_texts(batch.tokens, batch.is_padding).text_embeds
    for i in range(len(batch.tokens)):
        length = int((~batch.is_padding[i]).sum())
        for longest in (length, batch.tokens.shape[1]):
            alone = model.encode_texts(batch.tokens[i : i + 1, :longest], batch.is_padding[i : i + 1, :longest])
            torch.testing.assert_close(alone.text_embeds[0], together[i], rtol=0, atol=1e-12)


def test_padding_ids_do_not_change_outputs(model: SyCoCa, make_batch: BatchMaker):
    batch = make_batch()
    other = torch.where(batch.is_padding, 17, batch.tokens)
    before, after = (model.encode_texts(tokens, batch.is_padding) for tokens in (batch.tokens, other))
    torch.testing.assert_close(before.text_embeds, after.text_embeds)
    real = ~batch.is_padding
    torch.testing.assert_close(before.token_states[real], after.token_states[real])


def test_text_cls_sees_every_real_token_and_takes_the_last_position(model: SyCoCa, make_batch: BatchMaker):
    batch = make_batch()
    before = model.encode_texts(batch.tokens, batch.is_padding)
    for position in range(3):
        changed = batch.tokens.clone()
        changed[:, position] = 29
        assert not torch.allclose(model.encode_texts(changed, batch.is_padding).text_embeds, before.text_embeds)
    with torch.no_grad():
        model.text_encoder.positions[-1].add_(torch.randn(16, dtype=torch.float64))
    after = model.encode_texts(batch.tokens, batch.is_padding)
    assert not torch.allclose(after.text_embeds, before.text_embeds)
    real = ~batch.is_padding
    torch.testing.assert_close(after.token_states[real], before.token_states[real])


def test_a_later_token_changes_no_earlier_logit(model: SyCoCa, make_batch: BatchMaker):
    batch = make_batch()
    memory = model.memory(model.encode_images(batch.images))

    def logits(tokens: torch.Tensor) -> torch.Tensor:
        states = model.encode_texts(tokens, batch.is_padding).token_states
        return model.vocabulary_logits(model.caption_states(states, memory))

    before = logits(batch.tokens)
    for position in range(1, 9):
        changed = batch.tokens.clone()
        changed[:, position] = (changed[:, position] + 5) % 30
        after = logits(changed)
        torch.testing.assert_close(after[:, :position], before[:, :position], rtol=0, atol=1e-12)
        assert not torch.allclose(after[0, position], before[0, position])


@pytest.mark.parametrize("mask_tokens", ["decoder", "encoder"])
@pytest.mark.parametrize("pooling", ["cls", "mean", "max", "attention", "map"])
def test_masked_pixels_do_not_leak_into_their_prediction(config, make_batch: BatchMaker, mask_tokens: str, pooling):
    changed_config = replace(
        config,
        image_encoder=replace(config.image_encoder, pooling=pooling),
        image_decoder=replace(config.image_decoder, mask_tokens=mask_tokens),
    )
    model, batch = roughened(SyCoCa(changed_config).double()), make_batch(batch=3)
    is_masked = torch.zeros(3, 16, dtype=torch.bool)
    for i, patches in enumerate([[0, 5, 15], [1, 2, 3], [4, 9, 10]]):
        is_masked[i, patches] = True
    states = model.encode_texts(batch.tokens, batch.is_padding).token_states
    images = batch.images.requires_grad_()
    predicted = model.reconstruct(images, split_by_mask(is_masked), states, batch.is_padding)
    predicted.square().sum().backward()
    assert images.grad is not None
    moved = images.grad.unfold(2, 4, 4).unfold(3, 4, 4).abs().amax(dim=(1, 4, 5)).flatten(1) > 0
    assert torch.equal(moved, ~is_masked)


def test_reconstruction_depends_on_positions_and_on_the_caption(model: SyCoCa, make_batch: BatchMaker):
    batch = make_batch(batch=2)
    states = model.encode_texts(batch.tokens, batch.is_padding).token_states
    is_masked = torch.zeros(2, 16, dtype=torch.bool)
    is_masked[:, [3, 8]] = True
    predicted = model.reconstruct(batch.images, split_by_mask(is_masked), states, batch.is_padding)
    assert predicted.shape == (2, 2, 48)
    assert not torch.allclose(predicted[:, 0], predicted[:, 1])
    other_caption = model.reconstruct(batch.images, split_by_mask(is_masked), states.flip(0), batch.is_padding.flip(0))
    assert not torch.allclose(other_caption, predicted)
    junk = torch.where(batch.is_padding.unsqueeze(-1), 9.0, states)
    torch.testing.assert_close(
        model.reconstruct(batch.images, split_by_mask(is_masked), junk, batch.is_padding), predicted
    )


def test_without_text_guidance_the_caption_does_not_matter(config: SyCoCaConfig, make_batch: BatchMaker):
    unguided = replace(config, image_decoder=replace(config.image_decoder, is_text_guided=False))
    model, batch = roughened(SyCoCa(unguided).double()), make_batch(batch=2)
    states = model.encode_texts(batch.tokens, batch.is_padding).token_states
    is_masked = torch.arange(16).expand(2, 16) < 4
    with_caption = model.reconstruct(batch.images, split_by_mask(is_masked), states, batch.is_padding)
    torch.testing.assert_close(
        model.reconstruct(batch.images, split_by_mask(is_masked), states.flip(0), batch.is_padding.flip(0)),
        with_caption,
    )


@pytest.mark.parametrize("pooling", ["cls", "mean", "max", "attention", "map"])
def test_the_text_decoder_sees_kept_patches_only(config: SyCoCaConfig, make_batch: BatchMaker, pooling: str):
    model, batch = with_pooling(config, pooling, "cls"), make_batch(batch=2)
    images = model.encode_images(batch.images)
    kept = torch.tensor([[0, 3, 7], [2, 3, 15]])
    junk = images.patch_tokens.clone()
    is_kept = torch.zeros(2, 16, dtype=torch.bool).scatter(1, kept, True)
    junk[~is_kept] = 99.0
    memory = model.memory(images, kept)
    torch.testing.assert_close(model.memory(replace(images, patch_tokens=junk), kept), memory)
    assert memory.shape[1] == (5 if pooling == "attention" else 3)


@pytest.mark.parametrize("kind", ["single", "parallel", "cascade"])
@pytest.mark.parametrize("pooling", ["cls", "mean", "max", "attention", "map"])
def test_every_parameter_is_used_and_explicitly_initialized(config, make_batch: BatchMaker, pooling: str, kind):
    image = replace(config.image_encoder, pooling=pooling, pooler=replace(config.image_encoder.pooler, kind=kind))
    model = SyCoCa(replace(config, image_encoder=image))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(torch.nan)
        model.log_logit_scale.fill_(0.0)
    for module in model.modules():
        # The default initialization of a plain nn.Linear does not count as explicit.
        if not isinstance(module, nn.Linear | nn.MultiheadAttention) and hasattr(module, "reset_parameters"):
            module.reset_parameters()
    left = [name for name, parameter in model.named_parameters() if not parameter.isfinite().all()]
    assert left == []
    batch = make_batch(dtype=torch.float32)
    images, texts = model.encode_images(batch.images), model.encode_texts(batch.tokens, batch.is_padding)
    logits = model.vocabulary_logits(model.caption_states(texts.token_states, model.memory(images)))
    is_masked = torch.arange(16).expand(6, 16) < 8
    pixels = model.reconstruct(batch.images, split_by_mask(is_masked), texts.token_states, batch.is_padding)
    similarity = model.logit_scale() * (images.image_embeds * texts.text_embeds).sum(1)
    (similarity.sum() + logits.square().sum() + pixels.square().sum()).backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_mean_and_max_pool_patches_in_the_joint_space(config: SyCoCaConfig, make_batch: BatchMaker, pooling: str):
    model, batch = with_pooling(config, pooling, "cls"), make_batch(batch=2)
    images = model.encode_images(batch.images)
    each = model.image_encoder.embed_patches(images.patch_tokens)
    pooled = each.sum(dim=1) / 16 if pooling == "mean" else each.sort(dim=1).values[:, -1]
    torch.testing.assert_close(images.image_embeds, pooled / pooled.norm(dim=1, keepdim=True))
    assert images.cls_tokens.shape == (2, 0, 24)


def test_larger_images_get_interpolated_positions(model: SyCoCa, make_batch: BatchMaker):
    larger = make_batch(batch=2, image_size=24)
    images = model.encode_images(larger.images)
    assert images.patch_tokens.shape == (2, 36, 24)


def test_temperature_stays_between_1_and_100(model: SyCoCa):
    assert model.logit_scale().item() == pytest.approx(1 / 0.07)
    for value, expected in ((9.0, 100.0), (-1.0, 1.0)):
        model.log_logit_scale.data.fill_(value)
        model.clamp_temperature()
        assert model.logit_scale().item() == pytest.approx(expected)


def test_errors_name_the_missing_component(config: SyCoCaConfig, make_batch: BatchMaker):
    clip, batch = SyCoCa(replace(config, text_decoder=None, image_decoder=None)), make_batch(dtype=torch.float32)
    assert clip.text_decoder is None
    assert clip.image_decoder is None
    texts = clip.encode_texts(batch.tokens, batch.is_padding)
    with pytest.raises(ValueError, match=r"no text decoder: its config.text_decoder is None"):
        clip.caption_states(texts.token_states, torch.zeros(6, 2, 24))
    with pytest.raises(ValueError, match=r"no image decoder: its config.image_decoder is None"):
        clip.reconstruct(
            batch.images, split_by_mask(batch.images.new_ones(6, 16).bool()), texts.token_states, batch.is_padding
        )


def test_captions_longer_than_the_context_are_refused(model: SyCoCa):
    tokens = torch.ones(1, 13, dtype=torch.long)
    with pytest.raises(ValueError, match="at most 12 tokens, got 13"):
        model.encode_texts(tokens, torch.zeros(1, 13, dtype=torch.bool))


def test_inconsistent_sizes_are_refused():
    with pytest.raises(ValueError, match="image_size 30 is not a multiple of patch_size 4"):
        ImageEncoderConfig(image_size=30, patch_size=4)
    with pytest.raises(ValueError, match=r"model.text_encoder.width 10 is not a multiple of num_heads 4"):
        TextEncoderConfig(width=10, num_heads=4)
    with pytest.raises(ValueError, match=r"model.text_decoder.width 512 is not a multiple of num_heads 3"):
        SyCoCaConfig(text_decoder=TextDecoderConfig(num_heads=3))
    with pytest.raises(ValueError, match="num_queries must be at least 2 with kind 'single'"):
        AttentionPoolerConfig(kind="single", num_queries=1)
    with pytest.raises(ValueError, match=r"model.image_decoder.width 10"):
        ImageDecoderConfig(width=10, num_heads=4)


def test_padding_is_not_computed(model: SyCoCa, make_batch: BatchMaker):
    batch = make_batch()
    num_real = int((~batch.is_padding).sum())
    seen: list[int] = []
    for component in (
        model.text_encoder.blocks[1],
        model.text_decoder.self_blocks[1],
        model.text_decoder.cross_blocks[1],
    ):
        component.mlp.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape[:2].numel()))
    texts = model.encode_texts(batch.tokens, batch.is_padding)
    model.caption_states(
        texts.token_states, model.memory(model.encode_images(batch.images)), Packing(~batch.is_padding)
    )
    assert seen == [num_real + len(batch.tokens), num_real, num_real]  # the text encoder has a [CLS] per caption
