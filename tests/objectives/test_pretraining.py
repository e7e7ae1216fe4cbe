from dataclasses import replace

import pytest
import torch

from builders.models import BatchMaker, roughened
from reference import slow
from sycoca.model.config import SyCoCaConfig
from sycoca.model.masking import choose_patches
from sycoca.model.masking_config import MaskingConfig
from sycoca.model.sycoca import SyCoCa
from sycoca.objectives.config import ObjectivesConfig
from sycoca.objectives.contrastive import Ranks
from sycoca.objectives.pretraining import pretraining_losses
from sycoca.records import ImageTextBatch, LossTerms


def losses(model: SyCoCa, batch: ImageTextBatch, masking=None, objectives=None) -> LossTerms:
    return pretraining_losses(model, batch, masking or MaskingConfig(), objectives or ObjectivesConfig(), Ranks())


@torch.no_grad()
@pytest.mark.parametrize("normalizes", [True, False])
@pytest.mark.parametrize("score", ["token_max", "caption"])
def test_all_three_equal_their_slow_versions(model: SyCoCa, make_batch: BatchMaker, score, normalizes: bool):
    batch, masking = make_batch(), MaskingConfig(score=score)
    terms = losses(model, batch, masking, ObjectivesConfig(normalizes_patches=normalizes))
    images, texts = model.encode_images(batch.images), model.encode_texts(batch.tokens, batch.is_padding)
    scores = model.patch_scores(images, texts, batch.is_padding, score)
    choice = choose_patches(scores, masking, batch.draw_keys)
    scale = model.logit_scale().item()
    assert terms.contrastive.item() == pytest.approx(slow.contrastive(images.image_embeds, texts.text_embeds, scale))
    memory = model.memory(images, choice.hidden.others)
    logits = model.vocabulary_logits(model.caption_states(texts.token_states, memory))
    assert terms.captioning.item() == pytest.approx(slow.captioning(logits, batch.tokens, batch.is_padding))
    predicted = model.reconstruct(batch.images, choice.masked, texts.token_states, batch.is_padding)
    expected = slow.masked_image(predicted, batch.images, choice.masked.is_chosen, 4, normalizes=normalizes)
    assert terms.masked_image.item() == pytest.approx(expected)


def micro_batches(batch: ImageTextBatch, size: int) -> list[ImageTextBatch]:
    """Split a batch into micro-batches, each padded to its own longest caption; the totals are the whole batch's."""
    parts = []
    for start in range(0, len(batch.images), size):
        rows = slice(start, start + size)
        longest = int((~batch.is_padding[rows]).sum(1).max())
        parts.append(
            ImageTextBatch(
                images=batch.images[rows],
                tokens=batch.tokens[rows, :longest],
                is_padding=batch.is_padding[rows, :longest],
                draw_keys=batch.draw_keys[rows],
                totals=batch.totals,
            )
        )
    return parts


@pytest.mark.parametrize("strategy", ["attentive", "random", "inverse"])
def test_captioning_and_reconstruction_do_not_depend_on_micro_batches(model, make_batch, strategy):
    batch, masking = make_batch(batch=8), MaskingConfig(strategy=strategy)
    objectives = ObjectivesConfig(contrastive_weight=0.0)

    def total_and_gradients(parts: list[ImageTextBatch]) -> tuple[float, dict[str, torch.Tensor]]:
        model.zero_grad()
        total = 0.0
        for part in parts:
            terms = losses(model, part, masking, objectives)
            loss = 2 * terms.captioning + terms.masked_image
            loss.backward()
            total += loss.item()
        return total, {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    whole, whole_gradients = total_and_gradients([batch])
    cut, cut_gradients = total_and_gradients(micro_batches(batch, 2))
    assert cut == pytest.approx(whole, rel=1e-12)
    assert cut_gradients.keys() == whole_gradients.keys()
    for name, gradient in whole_gradients.items():
        torch.testing.assert_close(cut_gradients[name], gradient, rtol=1e-9, atol=1e-12)


def test_no_gradient_reaches_the_scores(model: SyCoCa, make_batch: BatchMaker):
    batch = make_batch()
    images, texts = model.encode_images(batch.images), model.encode_texts(batch.tokens, batch.is_padding)
    for score in ("token_max", "caption"):
        assert not model.patch_scores(images, texts, batch.is_padding, score).requires_grad
    # Only ITC trains the projections into the joint space, though the scores pass through them.
    terms = losses(model, batch, objectives=ObjectivesConfig(contrastive_weight=0.0))
    (terms.captioning + terms.masked_image).backward()
    assert model.image_encoder.projection.weight.grad is None
    assert model.text_encoder.projection.weight.grad is None


def test_the_captioner_sees_all_patches_where_nothing_is_hidden(model: SyCoCa, make_batch: BatchMaker):
    batch = make_batch()
    with torch.no_grad():
        seen = losses(model, batch, MaskingConfig(hides_from_captioning=False)).captioning
        images, texts = model.encode_images(batch.images), model.encode_texts(batch.tokens, batch.is_padding)
        logits = model.vocabulary_logits(model.caption_states(texts.token_states, model.memory(images)))
    assert seen.item() == pytest.approx(slow.captioning(logits, batch.tokens, batch.is_padding))
    assert seen.item() != losses(model, batch).captioning.item()


def test_a_component_of_weight_zero_is_not_needed(config: SyCoCaConfig, make_batch: BatchMaker):
    clip = roughened(SyCoCa(replace(config, text_decoder=None, image_decoder=None)).double())
    objectives = ObjectivesConfig(captioning_weight=0.0, masked_image_weight=0.0)
    terms = losses(clip, make_batch(), objectives=objectives)
    assert terms.contrastive is not None
    assert terms.captioning is None
    assert terms.masked_image is None


@pytest.mark.parametrize(
    ("captioning", "masked_image", "hides", "is_needed"),
    [(0.0, 0.0, True, False), (2.0, 0.0, False, False), (2.0, 0.0, True, True), (0.0, 1.0, True, True)],
)
def test_patches_are_scored_only_where_something_depends_on_it(
    model, make_batch, monkeypatch, captioning, masked_image, hides, is_needed
):
    scored = []
    original = SyCoCa.patch_scores
    monkeypatch.setattr(SyCoCa, "patch_scores", lambda *arguments: scored.append(1) or original(*arguments))
    objectives = ObjectivesConfig(captioning_weight=captioning, masked_image_weight=masked_image)
    losses(model, make_batch(), MaskingConfig(hides_from_captioning=hides), objectives)
    assert bool(scored) == is_needed


def test_strategies_give_different_losses(model: SyCoCa, make_batch: BatchMaker):
    batch = make_batch()
    found = {s: losses(model, batch, MaskingConfig(strategy=s)) for s in ("attentive", "random", "inverse")}
    assert len({terms.captioning.item() for terms in found.values()}) == 3
    assert len({terms.masked_image.item() for terms in found.values()}) == 3


def test_logits_in_chunks_have_the_loss_and_gradients_of_all_at_once(monkeypatch, model: SyCoCa, make_batch):
    batch, objectives = make_batch(), ObjectivesConfig(contrastive_weight=0.0, masked_image_weight=0.0)
    rows: list[int] = []
    assert model.text_decoder is not None
    model.text_decoder.vocabulary.register_forward_hook(lambda _, inputs, __: rows.append(len(inputs[0])))
    results = []
    for most_logits in (2**26, 4 * 30 + 5):
        monkeypatch.setattr("sycoca.objectives.pretraining.MOST_LOGITS", most_logits)
        term = losses(model, batch, objectives=objectives).captioning
        assert term is not None
        trained = [p for p in model.text_decoder.parameters()]
        results.append((term.detach(), torch.autograd.grad(term, trained)))
    (whole, gradients), (cut, cut_gradients) = results
    assert rows[0] == batch.totals.num_labels
    assert max(rows[1:]) == 4
    torch.testing.assert_close(cut, whole, rtol=1e-13, atol=1e-13)
    for one, other in zip(cut_gradients, gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-13)
