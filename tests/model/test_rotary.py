"""Rotary positions of patches, beside a slow version and by what they promise."""

import cmath
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from builders.models import BatchMaker, roughened
from sycoca.model.config import ImageEncoderConfig, SyCoCaConfig
from sycoca.model.image_encoder import ImageEncoder
from sycoca.model.patches import gather_patches, patchify, split_by_mask
from sycoca.model.rotary import patch_angles, rotation_at
from sycoca.model.sycoca import SyCoCa
from sycoca.weights.plain_config import versioned_plain

THETA = 50.0


def rotary(config: SyCoCaConfig, **changes: Any) -> SyCoCaConfig:
    image_encoder = replace(
        config.image_encoder, position_embedding="rotary", rope_theta=THETA, has_norm_pre=False, **changes
    )
    return replace(config, image_encoder=image_encoder)


def encoder_of(config: SyCoCaConfig, **changes: Any) -> ImageEncoder:
    torch.manual_seed(2)
    return roughened(ImageEncoder(rotary(config, **changes).image_encoder, 6, has_mask_token=True).double())


def turned(x: Tensor, place: tuple[int, int], grid: tuple[int, int]) -> Tensor:
    """Return a head's features of one patch after their rotation, as a complex number per pair."""
    half = len(x) // 2
    turned = torch.empty_like(x)
    for k in range(half):
        axis, number = divmod(k, half // 2)
        coordinate = 2 * (place[axis] + 0.5) / grid[axis] - 1
        turns = coordinate / THETA ** (number / (half // 2))
        product = complex(float(x[k]), float(x[k + half])) * cmath.exp(2j * math.pi * turns)
        turned[k], turned[k + half] = product.real, product.imag
    return turned


def slow_states(encoder: ImageEncoder, images: Tensor, kept: list[int]) -> Tensor:
    """Return the states of one image's patches, [CLS] first, with loops over heads and positions."""
    config = encoder.config
    assert encoder.cls_token is not None
    grid = (images.shape[2] // config.patch_size, images.shape[3] // config.patch_size)
    x = encoder.patch_embedding(patchify(images, config.patch_size)[0, kept])
    extra = [encoder.cls_token[None]] if encoder.registers is None else [encoder.cls_token[None], encoder.registers]
    x = torch.cat([*extra, x])
    num_extra = len(x) - len(kept)
    for block in encoder.blocks:
        parts = block.attention.query_key_value(block.norm_attention(x)).chunk(3, -1)
        queries, keys, values = (part.unflatten(1, (config.num_heads, -1)).clone() for part in parts)
        for number, patch in enumerate(kept):
            for states in (queries, keys):
                for head in range(config.num_heads):
                    own = states[num_extra + number, head].clone()
                    states[num_extra + number, head] = turned(own, divmod(patch, grid[1]), grid)
        logits = torch.einsum("qhf,khf->hqk", queries, keys) / math.sqrt(queries.shape[2])
        attended = torch.einsum("hqk,khf->qhf", logits.softmax(-1), values).flatten(1)
        x = x + block.attention.output(attended)
        x = x + block.mlp(x[None], block.norm_mlp)[0]
    return x


@pytest.mark.parametrize("num_registers", [0, 3])
@pytest.mark.parametrize("sides", [(16, 16), (24, 16)], ids=["configured size", "another size, not square"])
@torch.no_grad()
def test_states_equal_those_of_the_slow_version(config: SyCoCaConfig, num_registers: int, sides: tuple[int, int]):
    encoder = encoder_of(config, num_registers=num_registers, patch_size=4)
    images = torch.randn(2, 3, *sides, dtype=torch.float64)
    num_patches = sides[0] * sides[1] // 16
    rows = [[0, 3, 4, num_patches - 1], [1, 2, 7, 9]]
    whole_cls, whole_patches = encoder(images)
    kept_cls, kept_patches = encoder(images, visible=torch.tensor(rows))
    for image, kept in enumerate(rows):
        expected = slow_states(encoder, images[image : image + 1], list(range(num_patches)))
        torch.testing.assert_close(whole_cls[image, 0], expected[0])
        torch.testing.assert_close(whole_patches[image], expected[1 + num_registers :])
        expected = slow_states(encoder, images[image : image + 1], kept)
        torch.testing.assert_close(kept_cls[image, 0], expected[0])
        torch.testing.assert_close(kept_patches[image], expected[1 + num_registers :])


def test_only_differences_of_coordinates_matter_between_patches():
    angles = patch_angles((4, 4), 8, THETA, torch.empty(0, dtype=torch.float64))
    rotation = rotation_at(angles, 1, None)
    queries, keys = (torch.randn(8, dtype=torch.float64).expand(1, 1, 17, 8) for _ in range(2))
    products = (rotation(queries) @ rotation(keys).mT)[0, 0]
    torch.testing.assert_close(products[1 + 5, 1 + 10], products[1 + 0, 1 + 5])  # one down, one to the right
    torch.testing.assert_close(products[1 + 3, 1 + 9], products[1 + 6, 1 + 12])  # two down and one to the left ...
    assert not torch.isclose(products[1 + 3, 1 + 9], products[1 + 5, 1 + 12])  # ... not one down
    assert torch.equal(rotation(queries)[..., 0, :], queries[..., 0, :])  # [CLS] does not turn


@torch.no_grad()
def test_masked_image_modeling_sees_the_places_of_visible_patches(config: SyCoCaConfig, make_batch: BatchMaker):
    torch.manual_seed(3)
    model, batch = roughened(SyCoCa(rotary(config)).double()), make_batch()
    texts = model.encode_texts(batch.tokens, batch.is_padding)
    masked = split_by_mask(torch.arange(16).expand(len(batch.images), 16) % 3 == 0)
    found = model.reconstruct(batch.images, masked, texts.token_states, batch.is_padding)
    assert model.image_decoder is not None
    states = torch.stack(
        [
            slow_states(model.image_encoder, image[None], kept.tolist())[1:]
            for image, kept in zip(batch.images, masked.others, strict=True)
        ]
    )
    expected = model.image_decoder(states, masked.others, masked.chosen, texts.token_states, batch.is_padding).pixels
    torch.testing.assert_close(found, expected)
    # Nothing of a masked patch leaks.
    pixels = patchify(batch.images, config.image_encoder.patch_size)
    assert gather_patches(pixels, masked.chosen).abs().sum() > 0


@torch.no_grad()
def test_mask_tokens_take_the_place_of_patches(config: SyCoCaConfig):
    encoder = encoder_of(config)
    images, is_masked = torch.randn(1, 3, 16, 16, dtype=torch.float64), torch.arange(16).unsqueeze(0) == 5
    other = images.clone()
    other[:, :, 4:8, 4:8] += 1  # patch 5
    torch.testing.assert_close(encoder(images, is_masked=is_masked), encoder(other, is_masked=is_masked))
    assert not torch.allclose(encoder(images)[1], encoder(images, is_masked=is_masked)[1])


def test_the_residual_stream_keeps_the_dtype_of_the_parameters(config: SyCoCaConfig):
    for changed in (config, rotary(config)):
        encoder = ImageEncoder(changed.image_encoder, 6)
        with torch.autocast("cpu", torch.bfloat16):
            assert encoder(torch.randn(1, 3, 16, 16))[1].dtype == torch.float32
        assert encoder.bfloat16()(torch.randn(1, 3, 16, 16).bfloat16())[1].dtype == torch.bfloat16


def test_angles_have_the_precision_of_float32_in_a_model_in_half_precision(config: SyCoCaConfig):
    encoder = encoder_of(config).bfloat16()
    images = torch.randn(1, 3, 160, 160).bfloat16()
    rotation = encoder._rotation(images, None)
    assert rotation is not None
    assert rotation.cos.dtype == torch.float32


def test_there_are_no_learned_positions_and_the_patch_embedding_has_a_bias(config: SyCoCaConfig):
    names = set(encoder_of(config).state_dict())
    assert "patch_embedding.bias" in names
    assert "positions" not in names
    learned = set(ImageEncoder(config.image_encoder, 6).state_dict())
    assert "patch_embedding.bias" not in learned
    assert "positions" in learned


def test_sizes_that_cannot_turn_are_refused(config: SyCoCaConfig):
    with pytest.raises(ValueError, match=r"heads of a multiple of 4 features, got 6 \(width 12, num_heads 2\)"):
        rotary(config, width=12, num_heads=2)
    with pytest.raises(ValueError, match=r"rope_theta must be above 0, got 0\.0"):
        ImageEncoderConfig(rope_theta=0.0)


def test_config_json_has_the_format_of_what_is_new(config: SyCoCaConfig):
    learned, turning = versioned_plain(config), versioned_plain(rotary(config))
    assert (learned["format_version"], turning["format_version"]) == (4, 5)
    assert "position_embedding" not in learned["image_encoder"]
    assert "rope_theta" not in learned["image_encoder"]
    assert turning["image_encoder"]["position_embedding"] == "rotary"
    assert turning["image_encoder"]["rope_theta"] == THETA
    for other in ({"activation": "swiglu"}, {"pooling": "map"}):
        changed = replace(config, image_encoder=replace(config.image_encoder, **other))
        assert versioned_plain(changed)["format_version"] == 5
