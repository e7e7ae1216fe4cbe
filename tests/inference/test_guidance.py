"""Guided captions equal those of a plain version: without caches, image and no image decoded one after the other."""

import logging
from typing import Any

import pytest
import torch
from torch import Tensor

from builders.predictors import CONTEXT_LENGTH, photos, small_predictor
from reference.uncached_rows import UncachedRows
from sycoca.inference.caption_likelihoods import caption_log_likelihoods
from sycoca.inference.captioning import continue_prompts, generate_captions
from sycoca.inference.decoding.beam_search import BeamLimits, beam_search
from sycoca.inference.decoding.generation import generate
from sycoca.inference.decoding.generation_config import GenerationConfig
from sycoca.inference.decoding.sampling import Sampling
from sycoca.inference.predictor import Predictor
from sycoca.preprocess.token_batch import pad_tokens
from sycoca.randomness import derive_generator

SCALE = 2.5
IMAGES = 6


class SlowGuidedRows:
    """Rows with their image, and others with a memory of zeros; of prompts the last tokens take the place of bos."""

    def __init__(
        self, predictor: Predictor, memory: Tensor, rows_per_image: int = 1, prompts: Tensor | None = None
    ) -> None:
        self.given_image = UncachedRows(predictor.model, memory, rows_per_image=rows_per_image)
        self.without = UncachedRows(predictor.model, memory * 0, rows_per_image=rows_per_image)
        self.last = None
        if prompts is not None:
            *before, self.last = prompts.repeat_interleave(rows_per_image, 0).unbind(1)
            for tokens in before:
                self._log_probs(tokens)

    def _log_probs(self, tokens: Tensor) -> list[Tensor]:
        return [rows.advance(tokens).log_softmax(-1) for rows in (self.given_image, self.without)]

    def advance(self, tokens: Tensor) -> Tensor:
        """Return the guided log-probabilities."""
        tokens, self.last = tokens if self.last is None else self.last, None
        given_image, without = self._log_probs(tokens)
        return SCALE * given_image + (1 - SCALE) * without

    def reorder(self, rows: Tensor) -> None:
        """Reorder both."""
        self.given_image.reorder(rows)
        self.without.reorder(rows)


def early_ending() -> tuple[Predictor, Tensor]:
    """Return a predictor whose captions have all lengths, and the memory of some images."""
    predictor = small_predictor()
    decoder = predictor.model.text_decoder
    assert decoder is not None
    with torch.no_grad():
        decoder.vocabulary.weight[predictor.tokenizer.special.eos_id] *= 8
        pixels = torch.randn(IMAGES, 3, predictor.image_size, predictor.image_size, dtype=torch.float64)
        return predictor, predictor.model.memory(predictor.model.encode_images(pixels))


@pytest.mark.parametrize("options", [{}, {"num_beams": 3}, {"temperature": 1.0}], ids=str)
@torch.no_grad()
def test_guided_captions_are_those_of_the_plain_version(options: dict[str, Any]):
    predictor, memory = early_ending()
    special, limits = predictor.tokenizer.special, {"min_tokens": 2, "max_tokens": 6}
    config = GenerationConfig(guidance_scale=SCALE, **limits, **options)
    found = generate_captions(predictor.model, memory, special, config)
    if config.num_beams > 1:
        beams = BeamLimits(num_beams=3, length_penalty=1.0, **limits)
        expected = beam_search(SlowGuidedRows(predictor, memory, 3), IMAGES, special, beams)
    else:
        generators = [derive_generator(0, "drawn caption", index) for index in range(IMAGES)]
        sampling = None if config.temperature is None else Sampling(generators=generators)
        rows = SlowGuidedRows(predictor, memory)
        expected = generate(rows, IMAGES, special, sampling=sampling, **limits)
    assert [(one.tokens, one.is_complete) for one in found] == [(one.tokens, one.is_complete) for one in expected]
    assert len({len(one.tokens) for one in found}) > 1
    unguided = generate_captions(predictor.model, memory, special, GenerationConfig(**limits, **options))
    assert [one.tokens for one in found] != [one.tokens for one in unguided]
    whole = [row for row, one in enumerate(found) if one.is_complete]
    texts = pad_tokens([[special.bos_id, *found[row].tokens, special.eos_id] for row in whole], special.pad_id)
    given_image = caption_log_likelihoods(predictor.model, memory[whole], texts, per_token=False)
    assert [found[row].log_likelihood for row in whole] == pytest.approx(given_image.tolist(), rel=1e-9)
    for one in found:
        assert len(one.token_log_likelihoods) == len(one.tokens) + one.is_complete
        assert sum(one.token_log_likelihoods) == pytest.approx(one.log_likelihood)


@torch.no_grad()
def test_guided_continuations_of_prompts_too():
    predictor, memory = early_ending()
    special, memory = predictor.tokenizer.special, memory[:3]
    prompts = torch.tensor([[special.bos_id, 5 + row, 7] for row in range(3)])
    config = GenerationConfig(num_beams=2, max_tokens=4, guidance_scale=SCALE)
    found = continue_prompts(predictor.model, memory, prompts, special, config, indices=range(3))
    rows = SlowGuidedRows(predictor, memory, 2, prompts)
    limits = BeamLimits(num_beams=2, length_penalty=1.0, min_tokens=1, max_tokens=4)
    assert [one.tokens for one in found] == [one.tokens for one in beam_search(rows, 3, special, limits)]
    for row, own in enumerate(found):
        sequence = [*prompts[row].tolist(), *own.tokens, *([special.eos_id] if own.is_complete else [])]
        plain = UncachedRows(predictor.model, memory[row : row + 1], rows_per_image=1)
        gains = [plain.advance(torch.tensor([token])).log_softmax(-1)[0] for token in sequence[:-1]]
        given_image = [float(gain[token]) for gain, token in zip(gains, sequence[1:], strict=True)]
        assert own.token_log_likelihoods == pytest.approx(given_image[2:], rel=1e-9)


@torch.no_grad()
def test_scale_0_tells_no_images_apart_and_scale_1_costs_nothing(monkeypatch: pytest.MonkeyPatch):
    predictor, memory = early_ending()
    special = predictor.tokenizer.special
    blind = generate_captions(predictor.model, memory, special, GenerationConfig(guidance_scale=0.0))
    assert len({one.tokens for one in blind}) == 1
    plain = generate_captions(predictor.model, memory, special, GenerationConfig())
    assert len({one.tokens for one in plain}) > 1
    monkeypatch.setattr("sycoca.inference.captioning.GuidedRows", None)
    assert generate_captions(predictor.model, memory, special, GenerationConfig(guidance_scale=1.0)) == plain


def test_a_model_that_never_missed_an_image_is_warned_of_once(caplog: pytest.LogCaptureFixture):
    predictor, trained = small_predictor(), small_predictor(captioning_dropped_share=0.1)
    with caplog.at_level(logging.WARNING):
        predictor.caption(photos(1), max_tokens=2)
        trained.caption(photos(1), max_tokens=2, guidance_scale=2.0)
        assert caplog.messages == []
        for _ in range(2):
            predictor.caption(photos(1), max_tokens=2, guidance_scale=2.0)
    assert len(caplog.messages) == 1
    assert "--objectives.captioning-dropped-share" in caplog.messages[0]
    guided = GenerationConfig(guidance_scale=2.0)
    assert predictor.generation_cautions(guided) == tuple(caplog.messages)
    assert predictor.generation_cautions(GenerationConfig()) == trained.generation_cautions(guided) == ()


@pytest.mark.parametrize("scale", [-1.0, float("nan"), float("inf")])
def test_scales_that_are_none_are_refused(scale: float):
    with pytest.raises(ValueError, match="guidance_scale must be a number of at least 0"):
        GenerationConfig(guidance_scale=scale)


def test_context_length_is_enough():
    predictor, memory = early_ending()
    with torch.no_grad():
        config = GenerationConfig(min_tokens=CONTEXT_LENGTH - 2, guidance_scale=SCALE)
        captions = generate_captions(predictor.model, memory, predictor.tokenizer.special, config)
    assert {len(one.tokens) for one in captions} == {CONTEXT_LENGTH - 2}
