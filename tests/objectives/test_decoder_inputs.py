"""Captioning without the image or without the words, compared with a plain version, caption by caption."""

from dataclasses import replace

import pytest
import torch

from builders.models import BatchMaker
from sycoca.model.draws import uniform_draws
from sycoca.model.masking_config import MaskingConfig
from sycoca.model.sycoca import SyCoCa
from sycoca.objectives.config import ObjectivesConfig
from sycoca.objectives.contrastive import Ranks
from sycoca.objectives.pretraining import held_out_losses, pretraining_losses
from sycoca.records import ImageTextBatch

ALONE = ObjectivesConfig(contrastive_weight=0.0, masked_image_weight=0.0)
ALL_SEEN = MaskingConfig(hides_from_captioning=False)


def captioning(model: SyCoCa, batch: ImageTextBatch, masking: MaskingConfig = ALL_SEEN, **shares: float):
    term = pretraining_losses(model, batch, masking, replace(ALONE, **shares), Ranks()).captioning
    assert term is not None
    return term


def slow_captioning(model: SyCoCa, batch: ImageTextBatch, without_image: list[int], without_words: list[int]) -> float:
    """One caption at a time, without padding, and in parallel mode from bos alone at every position."""
    total = 0.0
    for row in range(len(batch.tokens)):
        tokens = batch.tokens[row : row + 1, ~batch.is_padding[row]]
        inputs = tokens[:, :-1]
        if row in without_words:
            inputs = torch.full_like(inputs, int(tokens[0, 0]))
        states, _ = model.text_encoder(inputs, torch.zeros_like(inputs, dtype=torch.bool), is_packed=False)
        memory = model.memory(model.encode_images(batch.images[row : row + 1]))
        memory = memory * (row not in without_image)
        log_probs = model.vocabulary_logits(model.caption_states(states, memory)).log_softmax(-1)
        total -= float(log_probs[0].gather(1, tokens[0, 1:, None]).sum())
    return total / batch.totals.num_labels


@torch.no_grad()
def test_the_loss_is_that_of_captions_one_by_one(model: SyCoCa, make_batch: BatchMaker):
    batch = make_batch(batch=8)
    draws = uniform_draws(batch.draw_keys, "inputs of captioning", (), torch.device("cpu")).tolist()
    order = sorted(range(8), key=lambda row: draws[row])
    # The shares are cut between two draws: two captions without image, three without words.
    dropped, parallel = sum(draws[row] for row in order[1:3]) / 2, 1 - sum(draws[row] for row in order[4:6]) / 2
    found = captioning(model, batch, captioning_dropped_share=dropped, captioning_parallel_share=parallel)
    expected = slow_captioning(model, batch, order[:2], order[5:])
    assert found.item() == pytest.approx(expected, rel=1e-10)
    for shares in ({}, {"captioning_dropped_share": dropped}, {"captioning_parallel_share": parallel}):
        assert captioning(model, batch, **shares).item() != pytest.approx(expected, rel=1e-5)


@torch.no_grad()
def test_without_images_the_loss_does_not_depend_on_them(model: SyCoCa, make_batch: BatchMaker):
    batch = make_batch()
    other = replace(batch, images=batch.images.flip(0))
    blind = [captioning(model, one, MaskingConfig(), captioning_dropped_share=1.0).item() for one in (batch, other)]
    assert blind[0] == pytest.approx(blind[1], rel=1e-12)
    assert captioning(model, batch).item() != pytest.approx(captioning(model, other).item(), rel=1e-3)


@pytest.mark.parametrize("share", ["captioning_dropped_share", "captioning_parallel_share"])
def test_the_other_objectives_and_held_out_captioning_keep_images_and_words(model, make_batch, share: str):
    batch = make_batch()
    plain, changed = ObjectivesConfig(), ObjectivesConfig(**{share: 1.0})
    terms = [pretraining_losses(model, batch, MaskingConfig(), one, Ranks()).named() for one in (plain, changed)]
    for name in ("contrastive", "masked_image"):
        assert terms[0][name].item() == terms[1][name].item()
    assert terms[0]["captioning"].item() != terms[1]["captioning"].item()
    held_out = [held_out_losses(model, batch, MaskingConfig(), one) for one in (plain, changed)]
    assert held_out[0] == held_out[1]


@pytest.mark.parametrize("share", ["captioning_dropped_share", "captioning_parallel_share"])
def test_gradients_reach_what_was_seen(model: SyCoCa, make_batch: BatchMaker, share: str):
    batch = make_batch()
    captioning(model, batch, **{share: 1.0}).backward()
    image, words = model.image_encoder.patch_embedding.weight.grad, model.text_encoder.token_embedding.weight.grad
    assert image is not None
    assert words is not None
    bos = int(batch.tokens[0, 0])
    reached = {
        "image": bool(image.any()),
        "bos": bool(words[bos].any()),
        "words": bool(words[batch.tokens[0, 1]].any()),
    }
    is_parallel = share == "captioning_parallel_share"
    assert reached == {"image": is_parallel, "bos": True, "words": not is_parallel}


def test_micro_batches_draw_and_learn_the_same(model: SyCoCa, make_batch: BatchMaker):
    batch = make_batch(batch=8)
    shares = {"captioning_dropped_share": 0.3, "captioning_parallel_share": 0.4}
    whole = captioning(model, batch, MaskingConfig(), **shares)
    cut = 0.0
    for rows in (slice(0, 3), slice(3, 8)):
        longest = int((~batch.is_padding[rows]).sum(1).max())
        part = replace(
            batch,
            images=batch.images[rows],
            tokens=batch.tokens[rows, :longest],
            is_padding=batch.is_padding[rows, :longest],
            draw_keys=batch.draw_keys[rows],
        )
        cut += captioning(model, part, MaskingConfig(), **shares)
    assert cut.item() == pytest.approx(whole.item(), rel=1e-12)
    weight = model.text_decoder.cross_blocks[0].attention.key_value.weight
    gradients = [torch.autograd.grad(one, weight)[0] for one in (whole, cut)]
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-12)


def test_without_shares_nothing_is_drawn(model: SyCoCa, make_batch: BatchMaker, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sycoca.objectives.decoder_inputs.uniform_draws", None)
    captioning(model, make_batch())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"captioning_dropped_share": 1.5}, "objectives.captioning_dropped_share must lie between 0 and 1, got 1.5"),
        ({"captioning_parallel_share": -0.1}, "objectives.captioning_parallel_share must lie between 0 and 1"),
        ({"captioning_dropped_share": 0.6, "captioning_parallel_share": 0.6}, "no image is drawn for both"),
        ({"captioning_dropped_share": 0.1, "captioning_weight": 0.0}, "needs captioning"),
    ],
)
def test_shares_that_cannot_be_are_refused(options: dict[str, float], message: str):
    with pytest.raises(ValueError, match=message):
        ObjectivesConfig(**options)
