"""Decoding with the real model: cached equals uncached, images keep to themselves, likelihoods add up."""

import itertools

import pytest
import torch

from builders.predictors import CONTEXT_LENGTH, photos, small_predictor
from reference.uncached_rows import UncachedRows
from sycoca.inference.caption_likelihoods import caption_log_likelihoods
from sycoca.inference.captioning import generate_captions, most_new_tokens
from sycoca.inference.decoding.beam_search import BeamLimits, beam_search
from sycoca.inference.decoding.generation import GeneratedCaption
from sycoca.inference.decoding.generation_config import GenerationConfig
from sycoca.inference.predictor import Predictor
from sycoca.model.attention import Memory
from sycoca.preprocess.token_batch import TokenBatch, encode_batch, pad_tokens


def memory_of(predictor: Predictor, count: int) -> torch.Tensor:
    pixels = torch.randn(count, 3, predictor.image_size, predictor.image_size, dtype=torch.float64)
    return predictor.model.memory(predictor.model.encode_images(pixels))


def uncached_log_probs(predictor: Predictor, memory: torch.Tensor, seen: tuple[int, ...]) -> torch.Tensor:
    """Run the whole caption so far through the model as training does, for one image."""
    tokens = torch.tensor([seen])
    states = predictor.model.encode_texts(tokens, torch.zeros_like(tokens, dtype=torch.bool)).token_states
    decoded = predictor.model.caption_states(states, memory)
    return predictor.model.vocabulary_logits(decoded[:, -1]).log_softmax(-1)[0]


def slow_greedy(predictor: Predictor, memory: torch.Tensor, config: GenerationConfig) -> GeneratedCaption:
    special = predictor.tokenizer.special
    seen, total = (special.bos_id,), 0.0
    for step in range(most_new_tokens(config, CONTEXT_LENGTH)):
        log_probs = uncached_log_probs(predictor, memory, seen)
        allowed = log_probs.clone()
        allowed[[special.pad_id, special.bos_id]] = -torch.inf
        if step < config.min_tokens:
            allowed[special.eos_id] = -torch.inf
        token = int(allowed.argmax())
        total += float(log_probs[token])
        if token == special.eos_id:
            return GeneratedCaption(tokens=seen[1:], log_likelihood=total, is_complete=True)
        seen = (*seen, token)
    return GeneratedCaption(tokens=seen[1:], log_likelihood=total, is_complete=False)


@pytest.mark.parametrize("max_tokens", [None, 3])
@torch.no_grad()
def test_greedy_with_caches_is_greedy_without(max_tokens: int | None):
    predictor = small_predictor()
    with_early_ends(predictor)
    memory = memory_of(predictor, 8)
    config = GenerationConfig(max_tokens=max_tokens)
    captions = generate_captions(predictor.model, memory, predictor.tokenizer.special, config)
    for row, caption in enumerate(captions):
        expected = slow_greedy(predictor, memory[row : row + 1], config)
        assert caption.tokens == expected.tokens
        assert caption.is_complete == expected.is_complete
        assert len(caption.token_log_likelihoods) == len(caption.tokens) + caption.is_complete
        assert sum(caption.token_log_likelihoods) == pytest.approx(expected.log_likelihood)
        assert caption.log_likelihood == pytest.approx(expected.log_likelihood, rel=1e-9)
    assert len({len(caption.tokens) for caption in captions}) > (1 if max_tokens is None else 0)


@torch.no_grad()
def test_beams_with_caches_score_what_the_model_scores_without():
    predictor = small_predictor()
    with_early_ends(predictor)
    memory = memory_of(predictor, 24)
    config = GenerationConfig(num_beams=4, max_tokens=6)
    captions = generate_captions(predictor.model, memory, predictor.tokenizer.special, config)
    special = predictor.tokenizer.special
    for row, caption in enumerate(captions):
        total, seen = 0.0, (special.bos_id,)
        for token in (*caption.tokens, *((special.eos_id,) if caption.is_complete else ())):
            total += float(uncached_log_probs(predictor, memory[row : row + 1], seen)[token])
            seen = (*seen, token)
        assert caption.log_likelihood == pytest.approx(total, rel=1e-9)
    greedy = generate_captions(predictor.model, memory, special, GenerationConfig(max_tokens=6))
    assert any(beam.tokens != one.tokens for beam, one in zip(captions, greedy, strict=True))


@pytest.mark.parametrize("options", [{"num_beams": 3}, {}, {"temperature": 1.0}])
@torch.no_grad()
def test_each_image_gives_alone_what_it_gives_in_a_batch(options: dict[str, float]):
    predictor = small_predictor()
    with_early_ends(predictor)
    memory, special = memory_of(predictor, 7), predictor.tokenizer.special
    config = GenerationConfig(**options)
    together = generate_captions(predictor.model, memory, special, config)
    for row in range(7):
        alone = generate_captions(predictor.model, memory[row : row + 1], special, config, first_index=row)[0]
        assert alone.tokens == together[row].tokens
    assert len({caption.tokens for caption in together}) > 1


@torch.no_grad()
@torch.no_grad()
def test_beam_search_with_caches_is_beam_search_without():
    predictor = small_predictor()
    with_early_ends(predictor)
    memory, special = memory_of(predictor, 5), predictor.tokenizer.special
    captions = generate_captions(predictor.model, memory, special, GenerationConfig(num_beams=3, max_tokens=6))
    limits = BeamLimits(num_beams=3, length_penalty=GenerationConfig().length_penalty, min_tokens=1, max_tokens=6)
    expected = beam_search(UncachedRows(predictor.model, memory, rows_per_image=3), 5, special, limits)
    assert [caption.tokens for caption in captions] == [caption.tokens for caption in expected]
    assert len({len(caption.tokens) for caption in captions}) > 1


def test_keys_of_an_image_are_computed_once_for_all_beams_and_steps(monkeypatch: pytest.MonkeyPatch):
    predictor = small_predictor()
    memory = memory_of(predictor, 3)
    shapes = []
    decoder = predictor.model.text_decoder
    assert decoder is not None
    original = type(decoder.cross_blocks[0]).keys_values

    def counted(self, given: Memory):
        shapes.append(tuple(given.standardized.shape))
        return original(self, given)

    monkeypatch.setattr(type(decoder.cross_blocks[0]), "keys_values", counted)
    generate_captions(predictor.model, memory, predictor.tokenizer.special, GenerationConfig(num_beams=4))
    assert shapes == [tuple(memory.shape)] * len(decoder.cross_blocks)


@pytest.mark.parametrize("per_token", [False, True])
@torch.no_grad()
def test_log_likelihood_is_the_sum_over_tokens_one_by_one(per_token: bool):
    predictor = small_predictor()
    captions = ["a red circle left of a blue square", "a", "there is a green cross", ""]
    memory = memory_of(predictor, len(captions))
    texts = encode_batch(predictor.tokenizer, captions, CONTEXT_LENGTH)
    found = caption_log_likelihoods(predictor.model, memory, texts, per_token=per_token)
    for row, caption in enumerate(captions):
        ids = predictor.tokenizer.encode(caption, CONTEXT_LENGTH)
        gains = [
            float(uncached_log_probs(predictor, memory[row : row + 1], tuple(ids[:place]))[ids[place]])
            for place in range(1, len(ids))
        ]
        expected = sum(gains) / len(gains) if per_token else sum(gains)
        assert float(found[row]) == pytest.approx(expected, rel=1e-9)


@torch.no_grad()
def test_likelihood_of_a_generated_caption_is_what_generation_said():
    predictor = small_predictor()
    with_early_ends(predictor)
    memory, special = memory_of(predictor, 8), predictor.tokenizer.special
    captions = generate_captions(predictor.model, memory, special, GenerationConfig())
    whole = [row for row, caption in enumerate(captions) if caption.is_complete]
    assert whole
    texts: TokenBatch = pad_tokens(
        [[special.bos_id, *captions[row].tokens, special.eos_id] for row in whole], special.pad_id
    )
    found = caption_log_likelihoods(predictor.model, memory[whole], texts, per_token=False)
    assert found.tolist() == pytest.approx([captions[row].log_likelihood for row in whole], rel=1e-9)


def test_most_tokens_are_those_of_training():
    assert most_new_tokens(GenerationConfig(), 16) == 14
    assert most_new_tokens(GenerationConfig(max_tokens=3), 16) == 3
    for options in ({"max_tokens": 15}, {"min_tokens": 15}):
        with pytest.raises(ValueError, match="captions with at most 14 tokens"):
            most_new_tokens(GenerationConfig(**options), 16)


def with_early_ends(predictor: Predictor) -> None:
    """Make eos likely enough that captions of all lengths come about."""
    decoder = predictor.model.text_decoder
    assert decoder is not None
    with torch.no_grad():
        decoder.vocabulary.weight[predictor.tokenizer.special.eos_id] *= 4


def test_drawing_differs_by_seed_and_by_place():
    predictor = small_predictor()
    same = [photos(1)[0]] * 6
    drawn = predictor.caption(same, temperature=1.0, seed=1)
    assert len(set(drawn)) > 1
    assert drawn == predictor.caption(same, temperature=1.0, seed=1, batch_size=4)
    assert drawn != predictor.caption(same, temperature=1.0, seed=2)
    config = GenerationConfig(temperature=1.0, seed=1)
    rest = [caption.tokens for caption in predictor.generate(same[4:], config, first_index=4)]
    whole = [caption.tokens for caption in predictor.generate(same, config)]
    assert rest == whole[4:]


def test_generation_is_batch_by_batch():
    predictor = small_predictor()
    opened = []

    def open_photo(index: int):
        opened.append(index)
        return photos(index + 1)[index]

    openers = [lambda index=index: open_photo(index) for index in range(6)]
    captions = predictor.generate(openers, GenerationConfig(max_tokens=2), batch_size=2)
    list(itertools.islice(captions, 2))
    assert sorted(opened) == [0, 1]
