"""The loss of patches and words, beside plain loops, in groups, and in a model's training."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from builders.models import BatchMaker
from builders.two_processes import rows_of
from sycoca.model.masking import is_word, token_max_scores
from sycoca.model.masking_config import MaskingConfig
from sycoca.model.sycoca import SyCoCa
from sycoca.objectives.config import ObjectivesConfig
from sycoca.objectives.contrastive import Ranks
from sycoca.objectives.patch_word import patch_word_loss, word_weights
from sycoca.objectives.pretraining import held_out_losses, pretraining_losses
from sycoca.presets.pretrain import tiny
from sycoca.records import ImageTextBatch, LossTerms
from sycoca.training.recipes.image_text.groups import check_groups
from sycoca.training.recipes.image_text.task import ImageTextTask

KEYS = torch.tensor([[1, 2], [3, 4], [1, 5], [6, 7], [8, 4]])
"""Pairs 0 and 2 have the same image, pairs 1 and 4 the same caption."""

WEIGHTS = torch.tensor(
    [[0, 1, 0.5, 0], [0, 2, 1, 0.25], [0, 1, 0, 0], [0, 0.1, 0.2, 0.3], [0, 1, 1, 0]], dtype=torch.float64
)

ALONE = ObjectivesConfig(contrastive_weight=0.0, captioning_weight=0.0, masked_image_weight=0.0, patch_word_weight=0.5)


def losses(model: SyCoCa, batch: ImageTextBatch, objectives: ObjectivesConfig = ALONE) -> LossTerms:
    return pretraining_losses(model, batch, MaskingConfig(), objectives, Ranks())


def five_pairs() -> list[Tensor]:
    """Return embeddings of 6 patches and of 4 tokens per pair, and the logit scale."""
    generator = torch.Generator().manual_seed(3)
    embeds = [F.normalize(torch.randn(5, n, 3, generator=generator).double(), dim=2) for n in (6, 4)]
    return [tensor.requires_grad_() for tensor in (*embeds, torch.tensor([7.0], dtype=torch.float64))]


def plain_loss(patches: Tensor, tokens: Tensor, scale: Tensor, keys: Tensor | None) -> Tensor:
    """Return the loss of FILIP's equations, image by image and word by word."""

    def image_to_text(i: int, j: int) -> Tensor:
        words = [k for k in range(tokens.shape[1]) if WEIGHTS[j, k] > 0]
        return torch.stack([max(patch @ tokens[j, k] for k in words) for patch in patches[i]]).mean()

    def text_to_image(j: int, i: int) -> Tensor:
        terms = [WEIGHTS[j, k] * max(tokens[j, k] @ patch for patch in patches[i]) for k in range(tokens.shape[1])]
        return torch.stack(terms).sum() / WEIGHTS[j].sum()

    total = torch.zeros((), dtype=torch.float64)
    for i in range(len(patches)):
        compared = [j for j in range(len(patches)) if i == j or keys is None or not bool((keys[i] == keys[j]).any())]
        for similarity in (image_to_text, text_to_image):
            logits = {j: scale * similarity(i, j) for j in compared}
            total = total - (logits[i].exp() / torch.stack([one.exp() for one in logits.values()]).sum()).log()[0] / 2
    return total


@pytest.mark.parametrize("keys", [None, KEYS], ids=["without keys", "with copies"])
@pytest.mark.parametrize("block_size", [None, 1, 3])
def test_the_loss_and_its_gradients_are_those_of_plain_loops(keys: Tensor | None, block_size: int | None):
    patches, tokens, scale = inputs = five_pairs()
    found = patch_word_loss(patches, tokens, WEIGHTS, scale, keys, block_size)
    expected = plain_loss(patches, tokens, scale, keys)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    for own, plain in zip(torch.autograd.grad(found, inputs), torch.autograd.grad(expected, inputs), strict=True):
        torch.testing.assert_close(own, plain, rtol=1e-10, atol=1e-13)


def test_a_caption_without_words_is_equally_similar_to_all_images():
    patches, tokens, scale = five_pairs()
    none = patch_word_loss(patches, tokens, torch.zeros_like(WEIGHTS), scale)
    assert none.item() == pytest.approx(5 * math.log(5))


def test_words_that_few_captions_have_count_more():
    tokens = torch.tensor([[1, 5, 7, 2, 0], [1, 5, 8, 5, 2], [1, 6, 5, 2, 0]])
    counts = torch.tensor([[0, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 1, 1, 0, 0]]).bool()
    rare, in_all = math.log(4), math.log(4 / 3)
    expected = [[0, in_all, rare, 0, 0], [0, in_all, rare, in_all, 0], [0, rare, in_all, 0, 0]]
    found = word_weights(tokens, counts, 9, "rare", torch.float64)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=0)
    assert word_weights(tokens, counts, 9, "equal").tolist() == counts.float().tolist()


@pytest.mark.parametrize("weighting", ["equal", "rare"])
def test_the_term_compares_what_the_token_score_compares(model: SyCoCa, make_batch: BatchMaker, weighting):
    batch = make_batch()
    term = losses(model, batch, replace(ALONE, patch_word_weighting=weighting)).patch_word
    images, texts = model.encode_images(batch.images), model.encode_texts(batch.tokens, batch.is_padding)
    patches, tokens = model.patch_embeds(images.patch_tokens), model.token_embeds(texts.token_states)
    counts = is_word(batch.is_padding)
    weights = word_weights(batch.tokens, counts, 30, weighting, torch.float64)
    expected = patch_word_loss(patches, tokens, weights, model.logit_scale())
    torch.testing.assert_close(term, expected / 6, rtol=1e-12, atol=0)
    scores = token_max_scores(patches, tokens, counts)
    torch.testing.assert_close(model.patch_scores(images, texts, batch.is_padding, "token_max"), scores)


def test_copies_are_no_negatives(model: SyCoCa, make_batch: BatchMaker):
    batch = make_batch()
    keys = torch.arange(12).view(6, 2)
    alike = replace(batch, sample_keys=keys.index_fill(0, torch.tensor([3]), 0))
    assert losses(model, alike).patch_word.item() < losses(model, replace(batch, sample_keys=keys)).patch_word.item()


def test_the_gradient_flows_into_both_encoders_and_their_projections(model: SyCoCa, make_batch: BatchMaker):
    losses(model, make_batch()).patch_word.backward()
    for encoder in (model.image_encoder, model.text_encoder):
        assert encoder.blocks[0].attention.query_key_value.weight.grad.abs().sum() > 0
        assert encoder.projection.weight.grad.abs().sum() > 0
    assert model.log_logit_scale.grad.item() != 0


@pytest.mark.parametrize("weighting", ["equal", "rare"])
def test_a_step_does_not_depend_on_micro_batches_that_are_multiples_of_a_group(
    model: SyCoCa, make_batch: BatchMaker, weighting
):
    batch = replace(make_batch(), sample_keys=torch.tensor([[1, 2], [1, 3], [4, 5], [6, 7], [8, 7], [9, 10]]))
    objectives = replace(ALONE, contrastive_weight=1.0, patch_word_group_size=2, patch_word_weighting=weighting)
    task = ImageTextTask(model, masking=MaskingConfig(), objectives=objectives)
    found = []
    for parts in ([batch], [rows_of(batch, slice(0, 2)), rows_of(batch, slice(2, 4)), rows_of(batch, slice(4, 6))]):
        model.zero_grad()
        with torch.no_grad():
            parts = task.with_global_contrast(parts, lambda same: same)
        total = torch.stack([task.total_loss(task(part)) for part in parts]).sum()
        total.backward()
        found.append((total.detach(), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}))
    torch.testing.assert_close(found[1], found[0], rtol=1e-9, atol=1e-12)


def test_the_other_terms_are_the_same_to_the_last_bit(model: SyCoCa, make_batch: BatchMaker):
    batch = make_batch()
    with_words = losses(model, batch, ObjectivesConfig(patch_word_weight=1.0)).named()
    assert with_words.pop("patch_word").item() > 0
    without = losses(model, batch, ObjectivesConfig()).named()
    assert {name: term.item() for name, term in with_words.items()} == {
        name: term.item() for name, term in without.items()
    }


def test_held_out_losses_have_it_once(model: SyCoCa, make_batch: BatchMaker):
    batch = make_batch()
    found = held_out_losses(model, batch, MaskingConfig(), ObjectivesConfig(patch_word_weight=1.0))
    assert list(found) == ["contrastive", "captioning", "masked_image", "patch_word", "masked_captioning"]
    assert found["patch_word"].item() == losses(model, batch).patch_word.item()


@pytest.mark.parametrize(
    ("group", "micro_batch", "world_size", "fits"),
    [
        (32, None, 1, True),
        (8, None, 1, True),
        (5, None, 1, True),
        (4, 8, 1, True),
        (8, None, 2, True),
        (8, 4, 1, False),
        (32, 8, 1, False),
        (5, 8, 1, False),
        (16, None, 2, False),
    ],
)
def test_micro_batches_that_cut_groups_are_refused(group, micro_batch, world_size, fits):
    config = replace(tiny(), objectives=ObjectivesConfig(patch_word_group_size=group))
    training = replace(config.training, global_batch_size=16, micro_batch_size=micro_batch)
    check_groups(config.objectives, training, world_size)
    objectives = replace(config.objectives, patch_word_weight=0.5)
    if fits:
        check_groups(objectives, training, world_size)
        return
    with pytest.raises(
        ValueError, match=rf"groups of objectives\.patch_word_group_size {group} pairs, and micro-batch"
    ):
        check_groups(objectives, training, world_size)
    if world_size == 1:
        with pytest.raises(ValueError, match=r"set training\.micro_batch_size to a multiple"):
            replace(config, objectives=objectives, training=training)


def test_a_group_of_one_is_refused():
    with pytest.raises(ValueError, match=r"objectives\.patch_word_group_size must be at least 2.*, got 1"):
        ObjectivesConfig(patch_word_group_size=1)
