"""The sigmoid loss of ITC, beside plain loops, across processes and micro-batches, and in a model's training."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from builders.models import BatchMaker
from sycoca.model.config import SyCoCaConfig
from sycoca.model.masking_config import MaskingConfig
from sycoca.model.sycoca import SyCoCa
from sycoca.objectives.compared import ContrastForm
from sycoca.objectives.config import ObjectivesConfig
from sycoca.objectives.contrastive import (
    Ranks,
    cached_contrastive_gradients,
    cached_contrastive_loss,
    contrastive_loss,
)
from sycoca.objectives.pretraining import pretraining_losses
from sycoca.weights.plain_config import versioned_plain

KEYS = torch.tensor([[1, 2], [3, 4], [1, 5], [6, 7], [8, 9], [10, 4], [11, 12]])
"""Pairs 0 and 2 have the same image, pairs 1 and 5 the same caption."""

SIGMOID = ObjectivesConfig(contrastive_loss="sigmoid", captioning_weight=0.0, masked_image_weight=0.0)


def seven_pairs() -> list[Tensor]:
    """Return embeddings of images and texts, the logit scale and the logit bias."""
    generator = torch.Generator().manual_seed(2)
    embeds = [F.normalize(torch.randn(7, 4, generator=generator).double(), dim=1) for _ in range(2)]
    logits = [torch.tensor([value], dtype=torch.float64) for value in (9.0, -3.0)]
    return [tensor.requires_grad_() for tensor in (*embeds, *logits)]


def sigmoid(bias: Tensor) -> ContrastForm:
    return ContrastForm(kind="sigmoid", logit_bias=bias)


def plain_loss(images: Tensor, texts: Tensor, scale: Tensor, bias: Tensor, keys: Tensor | None) -> Tensor:
    """Return the loss of the paper's equation, pair by pair, without copies."""
    total = torch.zeros((), dtype=torch.float64)
    for i in range(len(images)):
        for j in range(len(texts)):
            if i != j and keys is not None and bool((keys[i] == keys[j]).any()):
                continue
            sign = 1 if i == j else -1
            total = total + (1 + (-sign * (scale * images[i] @ texts[j] + bias)).exp()).log().squeeze()
    return total / len(images)


@pytest.mark.parametrize("keys", [None, KEYS], ids=["without keys", "with copies"])
@pytest.mark.parametrize("block_size", [None, 1, 3])
def test_the_loss_and_its_gradients_are_those_of_plain_loops(keys: Tensor | None, block_size: int | None):
    images, texts, scale, bias = inputs = seven_pairs()
    found = contrastive_loss(images, texts, scale, 7, Ranks(), keys, block_size, sigmoid(bias))
    expected = plain_loss(images, texts, scale, bias, keys)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    for own, plain in zip(torch.autograd.grad(found, inputs), torch.autograd.grad(expected, inputs), strict=True):
        torch.testing.assert_close(own, plain, rtol=1e-10, atol=1e-13)


def test_copies_make_a_difference():
    images, texts, scale, bias = seven_pairs()
    with_copies = contrastive_loss(images, texts, scale, 7, Ranks(), KEYS, None, sigmoid(bias))
    assert with_copies < contrastive_loss(images, texts, scale, 7, Ranks(), None, None, sigmoid(bias))


@pytest.mark.parametrize("keys", [None, KEYS[:6]], ids=["without keys", "with copies"])
def test_the_parts_of_all_ranks_add_up(keys: Tensor | None):
    images, texts, scale, bias = seven_pairs()
    images, texts = images[:6], texts[:6]
    parts = []
    for rank in range(3):
        rows = slice(2 * rank, 2 * rank + 2)
        whole = {own[rows].data_ptr(): own for own in (images, texts, *(() if keys is None else (keys,)))}
        ranks = Ranks(gather=lambda local, whole=whole: whole[local.data_ptr()], rank=rank)
        own_keys = None if keys is None else keys[rows]
        parts.append(contrastive_loss(images[rows], texts[rows], scale, 6, ranks, own_keys, None, sigmoid(bias)))
    expected = plain_loss(images, texts, scale, bias, keys)
    torch.testing.assert_close(torch.stack(parts).sum(), expected)
    inputs = (images, texts, scale, bias)
    for own, plain in zip(
        torch.autograd.grad(torch.stack(parts).sum(), inputs, retain_graph=True),
        torch.autograd.grad(expected, inputs),
        strict=True,
    ):
        torch.testing.assert_close(own, plain)


def test_cached_gradients_are_those_of_the_whole_batch():
    images, texts, scale, bias = inputs = seven_pairs()
    expected = plain_loss(images, texts, scale, bias, KEYS)
    sizes = [4, 3]
    splits = [list(own.detach().split(sizes)) for own in (images, texts)]
    cached = cached_contrastive_gradients(*splits, scale, 7, Ranks(), KEYS, None, sigmoid(bias))
    parts = [
        cached_contrastive_loss(own_images, own_texts, scale, own, bias)
        for own_images, own_texts, own in zip(images.split(sizes), texts.split(sizes), cached, strict=True)
    ]
    total = torch.stack(parts).sum()
    torch.testing.assert_close(total, expected)
    for own, plain in zip(torch.autograd.grad(total, inputs), torch.autograd.grad(expected, inputs), strict=True):
        torch.testing.assert_close(own, plain)


def test_logits_stay_float32_under_autocast():
    embeds, bias = F.normalize(torch.randn(8, 16), dim=-1), torch.tensor([-10.0])
    arguments = (embeds, embeds, torch.tensor([100.0]), 8, Ranks(), None, None, sigmoid(bias))
    expected = contrastive_loss(*arguments)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(contrastive_loss(*arguments), expected)


def test_a_model_starts_as_in_the_paper_and_learns_its_bias(config: SyCoCaConfig, make_batch: BatchMaker):
    model = SyCoCa(replace(config, has_logit_bias=True))
    assert model.logit_scale().item() == pytest.approx(10)
    assert model.logit_bias is not None
    assert model.logit_bias.tolist() == [-10]
    batch = make_batch()
    batch = replace(batch, images=batch.images.float())
    loss = pretraining_losses(model, batch, MaskingConfig(), SIGMOID, Ranks()).contrastive
    assert loss is not None
    cosines = (
        model.encode_images(batch.images).image_embeds
        @ model.encode_texts(batch.tokens, batch.is_padding).text_embeds.T
    )
    signs = 2 * torch.eye(len(cosines)) - 1
    expected = -F.logsigmoid(signs * (10 * cosines - 10)).sum() / batch.totals.num_samples
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert model.logit_bias.grad is not None
    assert model.logit_bias.grad.item() != 0


def test_models_for_softmax_have_no_bias_and_are_refused(config: SyCoCaConfig, make_batch: BatchMaker):
    model = SyCoCa(config)
    assert model.logit_bias is None
    assert model.logit_scale().item() == pytest.approx(1 / 0.07)
    batch = make_batch()
    with pytest.raises(ValueError, match=r"'sigmoid' needs a model with model\.has_logit_bias"):
        pretraining_losses(model, replace(batch, images=batch.images.float()), MaskingConfig(), SIGMOID, Ranks())


def test_config_json_names_a_bias_where_there_is_one(config: SyCoCaConfig):
    without, with_bias = versioned_plain(config), versioned_plain(replace(config, has_logit_bias=True))
    assert (without["format_version"], with_bias["format_version"]) == (4, 5)
    assert "has_logit_bias" not in without
    assert with_bias["has_logit_bias"] is True


def test_a_bias_is_needed_where_itc_has_a_weight():
    assert SIGMOID.needs_logit_bias
    assert not replace(SIGMOID, contrastive_weight=0.0, captioning_weight=1.0).needs_logit_bias
    assert not replace(SIGMOID, contrastive_loss="softmax").needs_logit_bias


def test_saturated_pairs_keep_their_precision():
    embeds, bias = torch.eye(2), torch.tensor([-10.0])
    loss = contrastive_loss(embeds, embeds, torch.tensor([20.0]), 2, Ranks(), None, None, sigmoid(bias))
    assert loss.item() == pytest.approx(2 * math.log1p(math.exp(-10)), rel=1e-5)
