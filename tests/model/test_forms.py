"""Every form of the model is one of its own: each value of each choice changes what the model computes."""

from dataclasses import replace
from itertools import combinations
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from builders.models import BatchMaker, roughened
from sycoca.model import forms
from sycoca.model.config import SyCoCaConfig
from sycoca.model.masking import choose_patches
from sycoca.model.masking_config import MaskingConfig
from sycoca.model.patches import split_by_mask
from sycoca.model.sycoca import SyCoCa


def with_form(config: SyCoCaConfig, where: str, value: str) -> SyCoCaConfig:
    """Return a config in which the field of that dotted name has the value."""
    name, _, rest = where.partition(".")
    part: Any = getattr(config, name)
    return replace(config, **{name: with_form(part, rest, value) if rest else value})


def outputs(config: SyCoCaConfig, make_batch: BatchMaker) -> dict[str, Tensor]:
    """Return what a model with always the same random weights makes of always the same batch."""
    if not config.text_encoder.form.is_causal:
        config = replace(config, text_decoder=None)
    torch.manual_seed(1)
    model, batch = roughened(SyCoCa(config).double()), make_batch(longest=9)
    images, texts = model.encode_images(batch.images), model.encode_texts(batch.tokens, batch.is_padding)
    masked = split_by_mask(torch.arange(16).expand(len(batch.images), 16) % 3 == 0)
    return {
        "image_embeds": images.image_embeds,
        "text_embeds": texts.text_embeds,
        "reconstruction": model.reconstruct(batch.images, masked, texts.token_states, batch.is_padding),
    }


@pytest.mark.parametrize(
    ("where", "choice", "output", "also"),
    [
        ("image_encoder.pooling", forms.Pooling, "image_embeds", {}),
        ("image_encoder.position_embedding", forms.PositionEmbedding, "reconstruction", {}),
        ("image_encoder.pooler.kind", forms.PoolerKind, "image_embeds", {"image_encoder.pooling": "attention"}),
        ("image_encoder.activation", forms.Activation, "image_embeds", {}),
        ("text_encoder.pooling", forms.TextPooling, "text_embeds", {}),
        ("text_encoder.cls_mask", forms.ClsMask, "text_embeds", {}),
        ("text_encoder.cls_position", forms.ClsPosition, "text_embeds", {}),
        ("text_encoder.activation", forms.Activation, "text_embeds", {}),
        ("image_decoder.mask_tokens", forms.MaskTokenPosition, "reconstruction", {}),
    ],
)
def test_every_value_changes_what_the_model_computes(
    config: SyCoCaConfig, make_batch: BatchMaker, where: str, choice: Any, output: str, also: dict[str, str]
):
    for name, value in also.items():
        config = with_form(config, name, value)
    found = {value: outputs(with_form(config, where, value), make_batch)[output] for value in get_args(choice)}
    assert len(found) > 1
    for one, other in combinations(found, 2):
        assert (found[one] - found[other]).abs().max() > 1e-6, f"{one} does what {other} does"


def test_a_captioner_needs_tokens_that_do_not_attend_to_later_ones(config: SyCoCaConfig):
    with pytest.raises(ValueError, match="text pooling last lets tokens attend to later ones"):
        SyCoCa(with_form(config, "text_encoder.pooling", "last"))


def test_every_patch_score_ranks_patches_in_its_own_way(model: SyCoCa, make_batch: BatchMaker):
    batch = make_batch()
    images, texts = model.encode_images(batch.images), model.encode_texts(batch.tokens, batch.is_padding)
    found = [
        model.patch_scores(images, texts, batch.is_padding, score).argsort(dim=1)
        for score in get_args(forms.PatchScore)
    ]
    assert len(found) > 1
    assert not any(torch.equal(one, other) for one, other in combinations(found, 2))


def test_the_first_token_counts_where_texts_begin_without_bos(
    config: SyCoCaConfig, model: SyCoCa, make_batch: BatchMaker
):
    other = SyCoCa(replace(config, text_encoder=replace(config.text_encoder, has_bos=False))).double()
    other.load_state_dict(model.state_dict())
    batch = make_batch()
    images, texts = model.encode_images(batch.images), model.encode_texts(batch.tokens, batch.is_padding)
    found, expected = (one.patch_scores(images, texts, batch.is_padding, "token_max") for one in (other, model))
    assert (found >= expected).all()
    assert (found > expected).any()


@torch.no_grad()
def test_padding_is_part_of_a_text_that_is_pooled_at_the_last_position(config: SyCoCaConfig, make_batch: BatchMaker):
    text = replace(config.text_encoder, pooling="last", mlp_width=20, norm_eps=1e-3, has_projection_bias=True, pad_id=7)
    model = roughened(SyCoCa(replace(config, text_encoder=text, text_decoder=None)).double())
    batch = make_batch(longest=9)
    embeds = model.encode_texts(batch.tokens, batch.is_padding).text_embeds
    # What stands at padding, and how far rows are padded, changes nothing.
    others = batch.tokens.masked_fill(batch.is_padding, 3)
    longer = torch.nn.functional.pad(others, (0, 3), value=5)
    is_padding = torch.nn.functional.pad(batch.is_padding, (0, 3), value=True)
    torch.testing.assert_close(model.encode_texts(longer, is_padding).text_embeds, embeds)
    whole = torch.nn.functional.pad(batch.tokens.masked_fill(batch.is_padding, 7), (0, 3), value=7)
    states, pooled = model.text_encoder(whole, torch.zeros_like(whole, dtype=torch.bool))
    torch.testing.assert_close(torch.nn.functional.normalize(pooled, dim=-1), embeds)
    expected = model.text_encoder.projection(model.text_encoder.norm_final(states[:, -1]))
    torch.testing.assert_close(pooled, expected)


def test_every_strategy_hides_and_masks_other_patches():
    scores = torch.rand(4, 16)
    choices = [
        choose_patches(scores, MaskingConfig(strategy=strategy), draw_keys=torch.arange(4))
        for strategy in get_args(forms.MaskingStrategy)
    ]
    assert len(choices) > 1
    for one, other in combinations(choices, 2):
        assert not torch.equal(one.hidden.chosen, other.hidden.chosen)
        assert not torch.equal(one.masked.chosen, other.masked.chosen)


def test_poolers_need_a_query_for_the_memory(config: SyCoCaConfig):
    pooler = config.image_encoder.pooler
    for kind, form in forms.POOLERS.items():
        fewest = 1 + form.num_global_queries
        replace(pooler, kind=kind, num_queries=fewest)
        with pytest.raises(ValueError, match=f"at least {fewest} with kind '{kind}'"):
            replace(pooler, kind=kind, num_queries=fewest - 1)
