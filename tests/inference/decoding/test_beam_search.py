"""Beam search against brute force: every caption of a tiny vocabulary, scored one by one."""

import itertools
import math
from typing import final

import pytest
import torch
from torch import Tensor

from sycoca.inference.decoding.beam_search import BeamLimits, _in_places_of_parents, beam_search
from sycoca.inference.decoding.generation import GeneratedCaption, generate
from sycoca.preprocess.tokenizer import SpecialTokens
from sycoca.randomness import derive_generator

SPECIAL = SpecialTokens(pad_id=0, bos_id=1, eos_id=2)
WORDS = (3, 4, 5)
VOCAB = 6


@final
class RandomRows:
    """Random logits by image and past; checks that rows stay with their image."""

    def __init__(self, num_images: int, beams: int, first_image: int = 0) -> None:
        self.beams = beams
        self.images = [first_image + image for image in range(num_images) for _ in range(beams)]
        self.seen: list[tuple[int, ...]] = [()] * (num_images * beams)
        self.rows_per_step: list[int] = []

    def advance(self, tokens: Tensor) -> Tensor:
        self.rows_per_step.append(len(tokens))
        self.seen = [(*seen, token) for seen, token in zip(self.seen, tokens.tolist(), strict=True)]
        return torch.stack([logits_of(image, seen) for image, seen in zip(self.images, self.seen, strict=True)])

    def reorder(self, rows: Tensor) -> None:
        self.images = [self.images[row] for row in rows.tolist()]
        self.seen = [self.seen[row] for row in rows.tolist()]
        for start in range(0, len(self.images), self.beams):
            assert len(set(self.images[start : start + self.beams])) == 1, "a row went to another image"


def logits_of(image: int, seen: tuple[int, ...]) -> Tensor:
    return torch.randn(VOCAB, generator=derive_generator(0, "logits", image, *seen)) * 1.5


def log_likelihood(image: int, tokens: tuple[int, ...]) -> float:
    seen: tuple[int, ...] = (SPECIAL.bos_id,)
    total = 0.0
    for token in tokens:
        total += float(logits_of(image, seen).log_softmax(0)[token])
        seen = (*seen, token)
    return total


def brute_force(image: int, limits: BeamLimits) -> GeneratedCaption:
    """Score all captions that end, and all that are cut at the most tokens."""
    ended = [
        (*words, SPECIAL.eos_id)
        for length in range(limits.min_tokens, limits.max_tokens)
        for words in itertools.product(WORDS, repeat=length)
    ]
    cut = list(itertools.product(WORDS, repeat=limits.max_tokens))
    best = max(ended + cut, key=lambda tokens: log_likelihood(image, tokens) / len(tokens) ** limits.length_penalty)
    is_complete = best[-1] == SPECIAL.eos_id
    return GeneratedCaption(
        tokens=best[:-1] if is_complete else best,
        log_likelihood=log_likelihood(image, best),
        is_complete=is_complete,
    )


def limits(num_beams: int, *, length_penalty: float = 1.0, min_tokens: int = 0, max_tokens: int = 4) -> BeamLimits:
    return BeamLimits(num_beams=num_beams, length_penalty=length_penalty, min_tokens=min_tokens, max_tokens=max_tokens)


@pytest.mark.parametrize("length_penalty", [-0.5, 0.0, 0.7, 1.0, 2.0])
@pytest.mark.parametrize("min_tokens", [0, 2, 4])
def test_with_enough_beams_it_is_brute_force(length_penalty: float, min_tokens: int):
    chosen = limits(len(WORDS) ** 3, length_penalty=length_penalty, min_tokens=min_tokens)
    num_images = 6
    found = beam_search(RandomRows(num_images, chosen.num_beams), num_images, SPECIAL, chosen)
    for image, caption in enumerate(found):
        expected = brute_force(image, chosen)
        assert caption.tokens == expected.tokens
        assert caption.is_complete == expected.is_complete
        assert caption.log_likelihood == pytest.approx(expected.log_likelihood, abs=1e-5)
        whole = (*caption.tokens, SPECIAL.eos_id) if caption.is_complete else caption.tokens
        parts = [
            log_likelihood(image, whole[: end + 1]) - log_likelihood(image, whole[:end]) for end in range(len(whole))
        ]
        assert caption.token_log_likelihoods == pytest.approx(parts, abs=1e-5)


def test_the_brute_force_has_captions_of_many_lengths():
    lengths = {len(brute_force(image, limits(1, length_penalty=0.7)).tokens) for image in range(6)}
    assert len(lengths) >= 3


@pytest.mark.parametrize("length_penalty", [-0.5, 0.0, 1.0])
def test_stopping_early_loses_nothing(length_penalty: float, monkeypatch: pytest.MonkeyPatch):
    chosen = limits(3, length_penalty=length_penalty, max_tokens=6)
    rows = RandomRows(20, 3)
    found = beam_search(rows, 20, SPECIAL, chosen)
    monkeypatch.setattr(BeamLimits, "best_possible", lambda *_: float("inf"))
    patient_rows = RandomRows(20, 3)
    assert found == beam_search(patient_rows, 20, SPECIAL, chosen)
    assert patient_rows.rows_per_step == [60] * 6
    assert sum(rows.rows_per_step) < sum(patient_rows.rows_per_step)


def test_goes_on_while_a_longer_caption_can_still_win(monkeypatch: pytest.MonkeyPatch):
    # After 3 the end has a score of -1 / 2; 4 is less likely, but what follows it is certain: -2 / 6.
    second = torch.tensor([1 - math.exp(-1) - math.exp(-2), 0.0, math.exp(-1), 0.0, math.exp(-2), 0.0]).log()
    steps = [certain(3), second, certain(5), certain(5), certain(5), certain(5)]
    monkeypatch.setattr(RandomRows, "advance", lambda self, tokens: steps[next_step(self)].expand(len(tokens), -1))
    found = beam_search(RandomRows(1, 2), 1, SPECIAL, limits(2, max_tokens=6))[0]
    assert found.tokens == (3, 4, 5, 5, 5, 5)
    assert found.log_likelihood == pytest.approx(-2)


def certain(token: int) -> Tensor:
    return torch.nn.functional.one_hot(torch.tensor(token), VOCAB) * 60.0


def next_step(rows: RandomRows) -> int:
    rows.rows_per_step.append(0)
    return len(rows.rows_per_step) - 1


@pytest.mark.parametrize("num_beams", [1, 2, 5])
def test_a_batch_gives_what_each_image_gives_alone(num_beams: int):
    chosen = limits(num_beams, max_tokens=5)
    together = beam_search(RandomRows(8, num_beams), 8, SPECIAL, chosen)
    for image in range(8):
        alone = beam_search(RandomRows(1, num_beams, first_image=image), 1, SPECIAL, chosen)
        assert alone[0].tokens == together[image].tokens


def test_more_beams_find_no_worse_captions_on_the_whole():
    scores = []
    for num_beams in (1, 3, 9):
        chosen = limits(num_beams, length_penalty=0.0, min_tokens=4, max_tokens=5)
        captions = beam_search(RandomRows(30, num_beams), 30, SPECIAL, chosen)
        scores.append(sum(caption.log_likelihood for caption in captions))
    assert scores[0] < scores[1] < scores[2]


def test_one_beam_is_greedy_where_only_the_end_can_stop_it():
    # Without eos before the last token there is nothing to choose but words.
    chosen = limits(1, min_tokens=4, max_tokens=4)
    found = beam_search(RandomRows(10, 1), 10, SPECIAL, chosen)
    greedy = generate(RandomRows(10, 1), 10, SPECIAL, min_tokens=4, max_tokens=4)
    assert [caption.tokens for caption in found] == [caption.tokens for caption in greedy]


def test_refuses_predictions_that_are_no_numbers(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(RandomRows, "advance", lambda _, tokens: torch.full((len(tokens), VOCAB), float("nan")))
    with pytest.raises(ValueError, match="predicts NaN"):
        beam_search(RandomRows(1, 2), 1, SPECIAL, limits(2))


@pytest.mark.parametrize("num_beams", [1, 2, 3])
def test_every_parents_first_beam_takes_its_place(num_beams: int):
    parents = torch.tensor(list(itertools.product(range(num_beams), repeat=num_beams)))
    order = _in_places_of_parents(parents)
    assert order.sort(1).values.tolist() == [list(range(num_beams))] * len(parents)
    for before, own in zip(parents.tolist(), order.tolist(), strict=True):
        assert all(own[parent] == before.index(parent) for parent in before)
