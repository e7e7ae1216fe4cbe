"""ITC with several captions of an image, and decoupled: beside plain loops, in blocks, over ranks and micro-batches."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from builders.models import BatchMaker, roughened
from builders.two_processes import rows_of, with_more_captions
from reference import slow_several_captions as slow
from sycoca.model.config import SyCoCaConfig
from sycoca.model.masking_config import MaskingConfig
from sycoca.model.sycoca import SyCoCa
from sycoca.objectives.compared import CaptionTable, ContrastForm
from sycoca.objectives.config import ContrastiveLoss, ObjectivesConfig
from sycoca.objectives.contrastive import (
    Ranks,
    cached_contrastive_gradients,
    cached_contrastive_loss,
    contrastive_loss,
)
from sycoca.objectives.pretraining import held_out_losses, pretraining_losses
from sycoca.training.recipes.image_text.task import ImageTextTask

KINDS: tuple[ContrastiveLoss, ...] = get_args(ContrastiveLoss)

COUNTS = (3, 1, 2, 3, 2, 3)
"""Captions of the six images; the table has places for three."""

IMAGE_KEYS = (1, 2, 3, 1, 5, 6)
"""Images 0 and 3 are equal."""

CAPTION_KEYS = ((10, 11, 12), (13,), (14, 15), (16, 17, 18), (19, 13), (15, 20, 11))
"""Caption 1 of image 4 is that of image 1; captions 0 and 2 of image 5 are a caption of image 2 and one of image 0."""


@dataclass
class Compared:
    """Six images and their captions; rows that they lack are filled with what must not count."""

    images: Tensor
    embeds: Tensor
    scale: Tensor
    bias: Tensor
    keys: Tensor
    is_caption: Tensor

    @property
    def inputs(self) -> list[Tensor]:
        return [self.images, self.embeds, self.scale, self.bias]

    def found(self, kind: ContrastiveLoss, *, has_keys: bool, block_size: int | None = None) -> Tensor:
        keys = self.keys if has_keys else None
        return contrastive_loss(
            self.images, self.table(slice(None)), self.scale, 6, Ranks(), keys, block_size, self.form(kind)
        )

    def table(self, rows: slice) -> CaptionTable:
        return CaptionTable(embeds=self.embeds[rows], is_caption=self.is_caption[rows])

    def form(self, kind: ContrastiveLoss) -> ContrastForm:
        return ContrastForm(kind=kind, logit_bias=self.bias if kind == "sigmoid" else None)

    def plain(self, kind: ContrastiveLoss, *, has_keys: bool) -> Tensor:
        captions = [own[:count] for own, count in zip(self.embeds, COUNTS, strict=True)]
        keys = list(zip(IMAGE_KEYS, CAPTION_KEYS, strict=True)) if has_keys else None
        if kind == "sigmoid":
            return slow.sigmoid(self.images, captions, self.scale, self.bias, keys)
        return slow.infonce(self.images, captions, self.scale, keys, is_decoupled=kind == "decoupled")


@pytest.fixture
def compared() -> Compared:
    generator = torch.Generator().manual_seed(6)
    images, embeds = (
        F.normalize(torch.randn(*shape, 4, generator=generator, dtype=torch.float64), dim=-1)
        for shape in ((6,), (6, 3))
    )
    keys = [[image, *own, *[own[0]] * (3 - len(own))] for image, own in zip(IMAGE_KEYS, CAPTION_KEYS, strict=True)]
    return Compared(
        images=images.requires_grad_(),
        embeds=embeds.requires_grad_(),
        scale=torch.tensor([9.0], dtype=torch.float64, requires_grad=True),
        bias=torch.tensor([-3.0], dtype=torch.float64, requires_grad=True),
        keys=torch.tensor(keys),
        is_caption=torch.arange(3) < torch.tensor(COUNTS)[:, None],
    )


def assert_same(found: Tensor, expected: Tensor, inputs: Sequence[Tensor]) -> None:
    """Compare values and gradients; an input that one does not depend on must not matter to the other."""
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    pairs = zip(
        torch.autograd.grad(found, inputs, materialize_grads=True),
        torch.autograd.grad(expected, inputs, materialize_grads=True),
        strict=True,
    )
    for own, plain in pairs:
        torch.testing.assert_close(own, plain, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("block_size", [None, 4])
@pytest.mark.parametrize("has_keys", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_and_its_gradients_are_those_of_plain_loops(compared: Compared, kind, has_keys, block_size):
    found = compared.found(kind, has_keys=has_keys, block_size=block_size)
    assert_same(found, compared.plain(kind, has_keys=has_keys), compared.inputs)


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_of_one_caption_is_the_loss_of_pairs(compared: Compared, kind: ContrastiveLoss):
    table = CaptionTable(embeds=compared.embeds[:, :1], is_caption=torch.ones(6, 1, dtype=torch.bool))
    rest = (compared.scale, 6, Ranks(), compared.keys[:, :2], None, compared.form(kind))
    found = contrastive_loss(compared.images, table, *rest)
    assert_same(found, contrastive_loss(compared.images, compared.embeds[:, 0], *rest), compared.inputs)


def test_a_pair_without_its_own_denominator_by_hand():
    images, texts = torch.eye(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64)
    scale = torch.tensor([3.0], dtype=torch.float64)
    found = contrastive_loss(images, texts, scale, 2, Ranks(), form=ContrastForm(kind="decoupled"))
    assert found.item() == -3.0  # log(exp(0) / exp(3)), where InfoNCE has log((exp(0) + exp(3)) / exp(3))


@pytest.mark.parametrize("kind", ["softmax", "decoupled"])
def test_positives_without_negatives_cost_nothing(compared: Compared, kind: ContrastiveLoss):
    keys = torch.ones(6, 4, dtype=torch.int64)
    found = contrastive_loss(
        compared.images, compared.table(slice(None)), compared.scale, 6, Ranks(), keys, None, compared.form(kind)
    )
    assert found.item() == 0
    for gradient in torch.autograd.grad(found, compared.inputs[:3]):
        assert bool((gradient == 0).all())


@pytest.mark.parametrize("kind", KINDS)
def test_the_parts_of_all_ranks_add_up(compared: Compared, kind: ContrastiveLoss):
    sent: list[list[Tensor]] = []

    def part(rank: int, gather: Callable[[Tensor], Tensor]) -> Tensor:
        rows = slice(2 * rank, 2 * rank + 2)
        ranks = Ranks(gather=gather, rank=rank)
        keys, form = compared.keys[rows], compared.form(kind)
        return contrastive_loss(compared.images[rows], compared.table(rows), compared.scale, 6, ranks, keys, None, form)

    for _ in range(3):
        own: list[Tensor] = []
        part(len(sent), lambda local, own=own: own.append(local) or torch.cat([local] * 3))
        sent.append(own)
    parts = []
    for rank in range(3):
        gathered = iter([torch.cat(same) for same in zip(*sent, strict=True)])
        parts.append(part(rank, lambda _, gathered=gathered: next(gathered)))
    assert_same(torch.stack(parts).sum(), compared.plain(kind, has_keys=True), compared.inputs)


@pytest.mark.parametrize("kind", KINDS)
def test_cached_gradients_are_those_of_the_whole_batch(compared: Compared, kind: ContrastiveLoss):
    parts = [slice(4), slice(4, 6)]
    images, tables = [compared.images[rows] for rows in parts], [compared.table(rows) for rows in parts]
    cached = cached_contrastive_gradients(
        images, tables, compared.scale, 6, Ranks(), compared.keys, None, compared.form(kind)
    )
    bias = compared.form(kind).logit_bias
    losses = [
        cached_contrastive_loss(own, table, compared.scale, one, bias)
        for own, table, one in zip(images, tables, cached, strict=True)
    ]
    assert_same(torch.stack(losses).sum(), compared.plain(kind, has_keys=True), compared.inputs)


ITC = ObjectivesConfig(captions_per_image=3)


def task_of(config: SyCoCaConfig, objectives: ObjectivesConfig) -> ImageTextTask:
    model = roughened(SyCoCa(replace(config, has_logit_bias=objectives.needs_logit_bias)).double())
    return ImageTextTask(model, masking=MaskingConfig(score="caption"), objectives=objectives)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_compares_every_caption_and_nothing_else_changes(config, make_batch: BatchMaker, kind):
    objectives = replace(ITC, contrastive_loss=kind)
    task = task_of(config, objectives)
    batch = with_more_captions(make_batch())
    more = batch.more_captions
    assert more is not None
    with torch.no_grad():
        terms = task(batch)
        alone = task(replace(batch, more_captions=None))
        images = task.model.encode_images(batch.images).image_embeds
        first = task.model.encode_texts(batch.tokens, batch.is_padding).text_embeds
        others = iter(task.model.encode_texts(more.tokens, more.is_padding).text_embeds)
        captions = [[own, *(next(others) for _ in range(n - 1))] for own, n in zip(first, COUNTS, strict=True)]
        scale, bias = task.model.logit_scale(), task.model.logit_bias
    if kind == "sigmoid":
        assert bias is not None
        expected = slow.sigmoid(images, captions, scale, bias, None)
    else:
        expected = slow.infonce(images, captions, scale, None, is_decoupled=kind == "decoupled")
    torch.testing.assert_close(terms.contrastive, expected)
    assert terms.contrastive.item() != pytest.approx(alone.contrastive.item(), rel=1e-3)
    torch.testing.assert_close((terms.captioning, terms.masked_image), (alone.captioning, alone.masked_image))


@pytest.mark.parametrize("kind", KINDS)
def test_micro_batches_train_as_the_whole_batch_does(config: SyCoCaConfig, make_batch: BatchMaker, kind):
    task = task_of(config, replace(ITC, contrastive_loss=kind))
    batch, found = with_more_captions(make_batch()), []
    parts = [rows_of(batch, rows) for rows in (slice(1), slice(1, 2), slice(2, 6))]  # the second has no further caption
    for batches in ([batch], task.with_global_contrast(parts, lambda same: same)):
        task.zero_grad()
        loss = torch.stack([task.total_loss(task(one)) for one in batches]).sum()
        loss.backward()
        found.append({"": loss, **{name: p.grad for name, p in task.named_parameters() if p.grad is not None}})
    torch.testing.assert_close(found[1], found[0], rtol=1e-9, atol=1e-12)


def test_every_caption_trains_the_text_encoder(config: SyCoCaConfig, make_batch: BatchMaker):
    task = task_of(config, replace(ITC, captioning_weight=0.0, masked_image_weight=0.0))
    batch = with_more_captions(make_batch())
    assert batch.more_captions is not None
    batch.more_captions.tokens[-1, 1] = 29
    used = torch.cat([batch.tokens[~batch.is_padding], batch.more_captions.tokens[~batch.more_captions.is_padding]])
    assert (used == 29).sum() >= 1
    task.total_loss(task(batch)).backward()
    gradient = task.model.text_encoder.token_embedding.weight.grad
    assert gradient is not None
    has_gradient = gradient.abs().sum(1) > 0
    assert has_gradient.nonzero().flatten().tolist() == sorted(set(used.tolist()))


def test_held_out_losses_take_batches_with_one_caption(config: SyCoCaConfig, make_batch: BatchMaker):
    task = task_of(config, ITC)
    batch = make_batch()
    with torch.no_grad():
        several, one = (
            held_out_losses(task.model, batch, task.masking, objectives) for objectives in (ITC, ObjectivesConfig())
        )
    assert several.keys() == one.keys()
    for name, value in one.items():
        assert torch.equal(several[name], value)


def test_keys_of_further_captions_leave_out_copies(config: SyCoCaConfig, make_batch: BatchMaker):
    task = task_of(config, ITC)
    batch = with_more_captions(make_batch())
    assert batch.more_captions is not None
    assert batch.more_captions.caption_keys is not None
    keys = batch.more_captions.caption_keys.clone()
    keys[0, 1] = keys[3, 0]
    copies = replace(batch, more_captions=replace(batch.more_captions, caption_keys=keys))
    with torch.no_grad():
        losses = [
            pretraining_losses(task.model, one, task.masking, ITC, Ranks()).contrastive for one in (copies, batch)
        ]
    assert losses[0] is not None
    assert losses[1] is not None
    assert losses[0] < losses[1]


def test_the_number_of_captions_is_checked():
    with pytest.raises(ValueError, match=r"objectives\.captions_per_image must be at least 1, got 0"):
        ObjectivesConfig(captions_per_image=0)
    with pytest.raises(ValueError, match=r"captions_per_image 5 gives ITC .*objectives\.contrastive_weight is 0"):
        ObjectivesConfig(captions_per_image=5, contrastive_weight=0.0)
