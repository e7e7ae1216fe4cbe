"""Architectures of converted weights: open_clip's [CLS], CLIP's pooling and activation, ViT without norm_pre."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from builders.models import BatchMaker, roughened
from sycoca.model.config import SyCoCaConfig
from sycoca.model.linear import Linear
from sycoca.model.sycoca import SyCoCa
from sycoca.model.text_encoder import TextEncoder


def with_text(config: SyCoCaConfig, **changes: Any) -> SyCoCa:
    return roughened(SyCoCa(replace(config, text_encoder=replace(config.text_encoder, **changes))).double())


def with_image(config: SyCoCaConfig, **changes: Any) -> SyCoCa:
    return roughened(SyCoCa(replace(config, image_encoder=replace(config.image_encoder, **changes))).double())


def plain_cls_embeds(encoder: TextEncoder, rows: Tensor, *, is_mask_shifted: bool) -> Tensor:
    """Return open_clip's embeddings of rows padded with 0: [CLS] at the row's end, a mask that excludes padding keys.

    The shifted mask has the entry of [CLS] in front, so every key gets that of its neighbor on the left.
    """
    assert encoder.cls_token is not None
    length = rows.shape[1] + 1
    own = torch.ones(len(rows), 1, dtype=torch.bool)
    is_valid = torch.cat([own, rows != 0] if is_mask_shifted else [rows != 0, own], dim=1)
    may_attend = torch.ones(length, length, dtype=torch.bool).tril() & is_valid[:, None, None, :]
    x = torch.cat([encoder.token_embedding(rows), encoder.cls_token.expand(len(rows), 1, -1)], dim=1)
    x = x + encoder.positions[:length]
    for block in encoder.blocks:
        x = block(x, is_causal=False, may_attend=may_attend)
    return encoder.projection(encoder.norm_final(x[:, -1]))


@pytest.mark.parametrize("cls_mask", ["correct", "shifted"])
def test_cls_position_last_equals_rows_padded_to_the_context(
    config: SyCoCaConfig, make_batch: BatchMaker, cls_mask: str
):
    encoder, batch = with_text(config, cls_mask=cls_mask).text_encoder, make_batch(longest=12)
    assert not batch.is_padding[0].any()  # a caption that fills its row is treated differently
    expected = plain_cls_embeds(encoder, batch.tokens, is_mask_shifted=cls_mask == "shifted")
    torch.testing.assert_close(encoder(batch.tokens, batch.is_padding)[1], expected)
    for row, (tokens, is_padding) in enumerate(zip(batch.tokens, batch.is_padding, strict=True)):
        alone = tokens[None, : int((~is_padding).sum())]
        embed = encoder(alone, torch.zeros_like(alone, dtype=torch.bool))[1]
        torch.testing.assert_close(embed[0], expected[row])


@pytest.mark.parametrize("length", [9, 10, 12])
@pytest.mark.parametrize("cls_mask", ["correct", "shifted"])
def test_cls_position_row_end_follows_the_given_padding(
    config: SyCoCaConfig, make_batch: BatchMaker, cls_mask: str, length: int
):
    encoder, batch = with_text(config, cls_mask=cls_mask, cls_position="row_end").text_encoder, make_batch(longest=9)
    rows = nn.functional.pad(batch.tokens, (0, length - 9))
    is_padding = nn.functional.pad(batch.is_padding, (0, length - 9), value=True)
    expected = plain_cls_embeds(encoder, rows, is_mask_shifted=cls_mask == "shifted")
    torch.testing.assert_close(encoder(rows, is_padding)[1], expected)


def test_the_options_of_cls_do_not_change_token_states(config: SyCoCaConfig, make_batch: BatchMaker):
    batch = make_batch()
    correct = with_text(config).text_encoder
    for changes in ({"cls_mask": "shifted"}, {"cls_position": "row_end"}):
        other = with_text(config, **changes).text_encoder
        other.load_state_dict(correct.state_dict())
        states, embeds = correct(batch.tokens, batch.is_padding)
        other_states, other_embeds = other(batch.tokens, batch.is_padding)
        real = ~batch.is_padding
        torch.testing.assert_close(other_states[real], states[real])
        assert not torch.allclose(other_embeds, embeds)


def test_the_options_of_cls_are_refused_without_cls(config: SyCoCaConfig):
    with pytest.raises(ValueError, match=r"apply to pooling cls only, pooling is mean"):
        replace(config.text_encoder, pooling="mean", cls_mask="shifted")


def test_clip_pools_the_eos_token(config: SyCoCaConfig, make_batch: BatchMaker):
    encoder, batch = with_text(config, pooling="eos").text_encoder, make_batch()
    states, embeds = encoder(batch.tokens, batch.is_padding)
    assert encoder.cls_token is None
    is_end = batch.tokens == 2
    assert is_end.sum() == len(batch.tokens)
    torch.testing.assert_close(embeds, encoder.project_tokens(states)[is_end])


def quick_gelu(x: torch.Tensor) -> torch.Tensor:
    return x / (1 + torch.exp(-1.702 * x))


def gelu_tanh(x: torch.Tensor) -> torch.Tensor:
    return x / 2 * (1 + torch.tanh((2 / math.pi) ** 0.5 * (x + 0.044715 * x**3)))


def swiglu(x: torch.Tensor) -> torch.Tensor:
    return x[:, :5] / (1 + torch.exp(-x[:, :5])) * x[:, 5:]


@pytest.mark.parametrize(
    ("name", "formula", "width"), [("quick_gelu", quick_gelu, 5), ("gelu_tanh", gelu_tanh, 5), ("swiglu", swiglu, 10)]
)
def test_an_activation_and_its_gradients_equal_the_formula(name, formula, width: int):
    layer, x = Linear(5, 7).double(), torch.randn(3, width, dtype=torch.float64, requires_grad=True)
    ours, plain = layer.after_activation(name, x), layer(formula(x))
    torch.testing.assert_close(ours, plain)
    inputs = (x, *layer.parameters())
    own, expected = (torch.autograd.grad(out.square().sum(), inputs) for out in (ours, plain))
    for left, right in zip(own, expected, strict=True):
        torch.testing.assert_close(left, right)


def test_both_encoders_and_the_text_decoder_use_the_configured_activation(config: SyCoCaConfig):
    image = replace(config.image_encoder, activation="quick_gelu")
    text = replace(config.text_encoder, activation="quick_gelu")
    model = SyCoCa(replace(config, image_encoder=image, text_encoder=text))
    assert model.text_decoder is not None
    decoder = [*model.text_decoder.self_blocks, *model.text_decoder.cross_blocks]
    for block in [*model.image_encoder.blocks, *model.text_encoder.blocks, *decoder]:
        assert block.mlp.activation == "quick_gelu"


def test_a_vit_has_no_norm_before_its_blocks_and_its_own_epsilon(config: SyCoCaConfig, make_batch: BatchMaker):
    model = with_image(config, has_norm_pre=False, norm_eps=1e-12)
    assert not any(name.startswith("image_encoder.norm_pre") for name in model.state_dict())
    norms = [module for module in model.image_encoder.modules() if isinstance(module, nn.LayerNorm)]
    assert {norm.eps for norm in norms} == {1e-12}
    assert len(norms) == 2 * config.image_encoder.depth + 1
    assert model.encode_images(make_batch().images).image_embeds.isfinite().all()


def test_norms_memory_normalizes_the_decoders_memory(config: SyCoCaConfig, make_batch: BatchMaker):
    model = with_image(config, norms_memory=True)
    encoded = model.encode_images(make_batch().images)
    norm = model.image_encoder.norm_post
    assert norm is not None
    torch.testing.assert_close(model.memory(encoded), norm(encoded.patch_tokens))


@pytest.mark.parametrize("kind", ["parallel", "cascade"])
def test_two_poolers_need_no_projection(config: SyCoCaConfig, make_batch: BatchMaker, kind: str):
    pooler = replace(config.image_encoder.pooler, kind=kind)
    model = with_image(config, pooling="attention", pooler=pooler)
    assert not any("projection" in name for name in model.image_encoder.state_dict())
    encoded = model.encode_images(make_batch().images)
    torch.testing.assert_close(encoded.image_embeds, nn.functional.normalize(model.image_features(encoded), dim=-1))
    with pytest.raises(ValueError, match=r"pooler.width 10 must be model.embed_dim 20"):
        replace(model.config, embed_dim=20)


@pytest.mark.parametrize(
    "changes",
    [{}, {"pooling": "mean"}, {"pooling": "eos"}, {"cls_mask": "shifted"}, {"cls_position": "row_end"}],
    ids=str,
)
def test_unpacked_texts_have_the_same_embeddings(config: SyCoCaConfig, make_batch: BatchMaker, changes: dict[str, Any]):
    encoder, batch = with_text(config, **changes).text_encoder, make_batch()
    packed, padded = (encoder(batch.tokens, batch.is_padding, is_packed=choice) for choice in (True, False))
    torch.testing.assert_close(padded[1], packed[1])
    real = ~batch.is_padding
    torch.testing.assert_close(padded[0][real], packed[0][real])


@pytest.mark.parametrize(
    "changes",
    [{"pooling": "cls"}, *({"pooling": "attention", "kind": kind} for kind in ("single", "parallel", "cascade"))],
    ids=str,
)
def test_memory_length_is_that_of_the_memory(config: SyCoCaConfig, make_batch: BatchMaker, changes: dict[str, Any]):
    pooler = replace(config.image_encoder.pooler, kind=changes.get("kind", "single"))
    model = with_image(config, pooling=changes["pooling"], pooler=pooler)
    memory = model.memory(model.encode_images(make_batch().images))
    assert memory.shape[1:] == (model.config.image_encoder.memory_length, model.config.image_encoder.output_width)
