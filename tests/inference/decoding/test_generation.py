"""Greedy decoding and sampling over tiny hand-made and random next-token functions."""

import math
from typing import final

import pytest
import torch
from torch import Tensor

from sycoca.inference.decoding.generation import generate
from sycoca.inference.decoding.sampling import Sampling, choose_tokens
from sycoca.preprocess.tokenizer import SpecialTokens
from sycoca.randomness import derive_generator

SPECIAL = SpecialTokens(pad_id=0, bos_id=1, eos_id=2)


@final
class TableRows:
    """Next-token logits by what a row has seen; remembers how many rows each step cost."""

    def __init__(self, num_rows: int, logits_of) -> None:
        self.seen: list[tuple[int, ...]] = [() for _ in range(num_rows)]
        self.images = list(range(num_rows))
        self.logits_of = logits_of
        self.rows_per_step: list[int] = []

    def advance(self, tokens: Tensor) -> Tensor:
        assert len(tokens) == len(self.seen)
        self.rows_per_step.append(len(tokens))
        self.seen = [(*seen, token) for seen, token in zip(self.seen, tokens.tolist(), strict=True)]
        return torch.stack([self.logits_of(image, seen) for image, seen in zip(self.images, self.seen, strict=True)])

    def reorder(self, rows: Tensor) -> None:
        self.seen = [self.seen[row] for row in rows.tolist()]
        self.images = [self.images[row] for row in rows.tolist()]


def random_logits(vocab: int = 6):
    """Random logits for every image and every past, the same each time they are asked for."""

    def logits_of(image: int, seen: tuple[int, ...]) -> Tensor:
        return torch.randn(vocab, generator=derive_generator(0, "logits", image, *seen)) * 2

    return logits_of


def script(*tokens: int):
    """Prefer these tokens in this order."""

    def logits_of(_: int, seen: tuple[int, ...]) -> Tensor:
        return torch.nn.functional.one_hot(torch.tensor(tokens[len(seen) - 1]), 6) * 5.0

    return logits_of


def test_takes_the_likeliest_token_until_the_end():
    caption = generate(TableRows(1, script(3, 5, 4, 2, 3)), 1, SPECIAL, min_tokens=0, max_tokens=9)[0]
    assert caption.tokens == (3, 5, 4)
    assert caption.is_complete
    sure = 5 - math.log(math.exp(5) + 5)
    assert caption.log_likelihood == pytest.approx(4 * sure)


def test_is_cut_at_the_most_tokens():
    caption = generate(TableRows(1, script(3, 5, 4, 2)), 1, SPECIAL, min_tokens=0, max_tokens=2)[0]
    assert caption.tokens == (3, 5)
    assert not caption.is_complete


def test_does_not_end_before_the_fewest_tokens():
    logits = torch.tensor([0.0, 0.0, 9.0, 3.0, 2.0, 1.0])
    rows = TableRows(1, lambda *_: logits)
    assert generate(rows, 1, SPECIAL, min_tokens=2, max_tokens=9)[0].tokens == (3, 3)
    assert generate(TableRows(1, lambda *_: logits), 1, SPECIAL, min_tokens=0, max_tokens=9)[0].tokens == ()


@pytest.mark.parametrize("favorite", [SPECIAL.pad_id, SPECIAL.bos_id])
def test_never_generates_padding_or_bos(favorite: int):
    logits = torch.tensor([0.0, 0.0, 0.0, 1.0, 2.0, 0.0])
    logits[favorite] = 50.0
    caption = generate(TableRows(1, lambda *_: logits), 1, SPECIAL, min_tokens=0, max_tokens=3)[0]
    assert caption.tokens == (4, 4, 4)
    # The model's own probability, with the mass that it gave to what may not be said.
    assert caption.log_likelihood == pytest.approx(3 * (2.0 - float(logits.logsumexp(0))), rel=1e-5)


def test_finished_rows_cost_nothing_and_change_nothing():
    table = {0: (3, 2), 1: (4, 4, 4, 4, 2), 2: (2,), 3: (5, 3, 5, 2)}

    def logits_of(image: int, seen: tuple[int, ...]) -> Tensor:
        return script(*table[image])(image, seen)

    rows = TableRows(4, logits_of)
    captions = generate(rows, 4, SPECIAL, min_tokens=0, max_tokens=9)
    assert [caption.tokens for caption in captions] == [(3,), (4, 4, 4, 4), (), (5, 3, 5)]
    assert rows.rows_per_step == [4, 3, 2, 2, 1]


@pytest.mark.parametrize("temperature", [None, 1.0])
def test_a_batch_gives_what_each_row_gives_alone(temperature: float | None):
    def sampling(rows: list[int]) -> Sampling | None:
        if temperature is None:
            return None
        return Sampling(generators=[torch.Generator().manual_seed(row) for row in rows], temperature=temperature)

    together = generate(
        TableRows(7, random_logits()), 7, SPECIAL, min_tokens=0, max_tokens=5, sampling=sampling(list(range(7)))
    )
    for row in range(7):
        alone = TableRows(1, random_logits())
        alone.images = [row]
        assert generate(alone, 1, SPECIAL, min_tokens=0, max_tokens=5, sampling=sampling([row])) == [together[row]]
    assert len({caption.tokens for caption in together}) > 3


def test_refuses_predictions_that_are_no_numbers():
    rows = TableRows(1, lambda *_: torch.full((6,), float("nan")))
    with pytest.raises(ValueError, match="predicts NaN"):
        generate(rows, 1, SPECIAL, min_tokens=0, max_tokens=3)


def test_drawn_tokens_follow_the_distribution():
    probs = torch.tensor([0.1, 0.5, 0.0, 0.15, 0.25])
    numbers = (torch.arange(1000).double() + 0.5) / 1000
    drawn = choose_tokens(probs.log().expand(1000, -1), numbers)
    assert torch.bincount(drawn, minlength=5).tolist() == [100, 500, 0, 150, 250]


def test_temperature_sharpens_and_flattens():
    probs = torch.tensor([0.2, 0.8])
    numbers = (torch.arange(1700).double() + 0.5) / 1700
    # At temperature 1/2 probabilities are squared: 0.04 to 0.64 is 1 to 16.
    drawn = choose_tokens(probs.log().expand(1700, -1), numbers, temperature=0.5)
    assert torch.bincount(drawn).tolist() == [100, 1600]


def test_top_k_keeps_the_likeliest():
    probs = torch.tensor([0.1, 0.4, 0.2, 0.3])
    numbers = (torch.arange(700).double() + 0.5) / 700
    drawn = choose_tokens(probs.log().expand(700, -1), numbers, top_k=2)
    assert torch.bincount(drawn, minlength=4).tolist() == [0, 400, 0, 300]


@pytest.mark.parametrize(
    ("top_p", "kept"), [(0.05, [1]), (0.39, [1]), (0.41, [1, 3]), (0.75, [1, 2, 3]), (1.0, [0, 1, 2, 3])]
)
def test_top_p_keeps_the_fewest_that_reach_it(top_p: float, kept: list[int]):
    probs = torch.tensor([0.1, 0.4, 0.2, 0.3])
    numbers = (torch.arange(1000).double() + 0.5) / 1000
    assert choose_tokens(probs.log().expand(1000, -1), numbers, top_p=top_p).unique().tolist() == kept


def test_top_p_counts_what_top_k_left():
    # Of 0.4, 0.3, 0.2 the first is 44 %: more than half is needed, so the second comes along.
    probs = torch.tensor([0.1, 0.4, 0.2, 0.3])
    numbers = (torch.arange(1000).double() + 0.5) / 1000
    assert choose_tokens(probs.log().expand(1000, -1), numbers, top_k=3, top_p=0.43).unique().tolist() == [1]
    assert choose_tokens(probs.log().expand(1000, -1), numbers, top_k=3, top_p=0.45).unique().tolist() == [1, 3]


def test_the_largest_number_draws_what_has_a_chance():
    probs = torch.tensor([[0.5, 0.5, 0.0, 0.0]])
    assert choose_tokens(probs.log(), torch.tensor([1 - 2**-53], dtype=torch.float64)).tolist() == [1]
    assert choose_tokens(probs.log(), torch.tensor([0.0], dtype=torch.float64)).tolist() == [0]
