from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from reference import slow
from sycoca.model.draws import uniform_draws
from sycoca.model.masking import (
    caption_scores,
    choose_patches,
    highest,
    is_word,
    lowest,
    num_chosen,
    token_max_scores,
)
from sycoca.model.masking_config import MaskingConfig

SCORES = torch.tensor([[0.1, 0.9, 0.8, 0.2], [0.5, -0.3, 0.4, 0.6]])


def test_captioning_hides_the_worst_patches_and_reconstruction_masks_the_best():
    choice = choose_patches(SCORES, MaskingConfig(strategy="attentive"), torch.tensor([1, 2]))
    assert choice.hidden.is_chosen.tolist() == [[True, False, False, True], [False, True, True, False]]
    assert choice.masked.is_chosen.tolist() == [[False, True, True, False], [True, False, False, True]]


def test_inverse_reverses_the_ranking():
    choice = choose_patches(SCORES, MaskingConfig(strategy="inverse"), torch.tensor([1, 2]))
    assert choice.hidden.is_chosen.tolist() == [[False, True, True, False], [True, False, False, True]]
    assert choice.masked.is_chosen.tolist() == [[True, False, False, True], [False, True, True, False]]


def test_random_choice_depends_on_the_sample_alone_and_differs_between_objectives():
    masking = MaskingConfig(strategy="random")
    scores = torch.zeros(3, 64)
    together = choose_patches(scores, masking, torch.tensor([7, 8, 9]))
    alone = choose_patches(scores[:1], masking, torch.tensor([8]))
    assert torch.equal(together.hidden.is_chosen[1], alone.hidden.is_chosen[0])
    assert torch.equal(together.masked.is_chosen[1], alone.masked.is_chosen[0])
    assert not torch.equal(together.hidden.is_chosen[0], together.hidden.is_chosen[1])
    assert not torch.equal(together.hidden.is_chosen, ~together.masked.is_chosen)
    assert together.hidden.is_chosen.sum(1).tolist() == [32, 32, 32]


def test_the_two_ratios_are_independent():
    masking = MaskingConfig(captioning_hidden_ratio=0.25, reconstruction_masked_ratio=0.75)
    choice = choose_patches(SCORES, masking, torch.tensor([1, 2]))
    assert choice.hidden.is_chosen.sum(1).tolist() == [1, 1]
    assert choice.masked.is_chosen.sum(1).tolist() == [3, 3]


def test_of_equal_scores_the_lower_index_wins():
    equal = torch.zeros(1, 5)
    assert lowest(equal, 0.4).is_chosen.tolist() == [[True, True, False, False, False]]
    assert highest(equal, 0.4).is_chosen.tolist() == [[True, True, False, False, False]]
    two_equal = highest(torch.tensor([[0.0, 1.0, 0.0, 1.0, 1.0]]), 0.4)
    assert two_equal.is_chosen.tolist() == [[False, True, False, True, False]]
    assert (two_equal.chosen.tolist(), two_equal.others.tolist()) == ([[1, 3]], [[0, 2, 4]])


@pytest.mark.parametrize(("ratio", "expected"), [(0.5, 3), (0.49, 3), (0.01, 1), (0.99, 6), (0.25, 1)])
def test_counts_are_rounded_down_to_at_least_1_and_at_most_all_but_one(ratio: float, expected: int):
    assert num_chosen(7, ratio) == expected


def test_token_max_equals_the_slow_version_and_ignores_special_tokens():
    patches = F.normalize(torch.randn(2, 4, 5, dtype=torch.float64), dim=-1)
    tokens = F.normalize(torch.randn(2, 6, 5, dtype=torch.float64), dim=-1)
    is_padding = torch.tensor([[False] * 6, [False] * 4 + [True] * 2])
    counts = is_word(is_padding)
    assert counts.tolist() == [[False, True, True, True, True, False], [False, True, True, False, False, False]]
    without_bos = is_word(is_padding, has_bos=False)
    assert without_bos.tolist() == [[True] * 5 + [False], [True] * 3 + [False] * 3]
    scores = token_max_scores(patches, tokens, counts)
    for i in range(2):
        for j in range(4):
            assert scores[i, j].item() == pytest.approx(slow.token_max_score(patches[i, j], tokens[i], counts[i]))


def test_without_words_all_patches_score_the_same():
    scores = token_max_scores(torch.randn(1, 3, 4), torch.randn(1, 2, 4), torch.zeros(1, 2, dtype=torch.bool))
    assert scores.unique().numel() == 1


def test_scores_follow_a_permutation_of_the_patches():
    patches, tokens = F.normalize(torch.randn(2, 8, 5), dim=-1), F.normalize(torch.randn(2, 6, 5), dim=-1)
    counts, order = torch.ones(2, 6, dtype=torch.bool), torch.randperm(8)
    torch.testing.assert_close(
        token_max_scores(patches[:, order], tokens, counts), token_max_scores(patches, tokens, counts)[:, order]
    )
    caption = tokens[:, 0]
    torch.testing.assert_close(caption_scores(patches[:, order], caption), caption_scores(patches, caption)[:, order])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_near_duplicates_do_not_tie_in_half_precision(dtype: torch.dtype):
    # Products of 0.5 + 2^-10 and 0.5 + 2^-11, which bfloat16 would both round to 0.5.
    patches = torch.tensor([[[0.5, 2**-8], [0.5, 2**-9]]]).to(dtype)
    caption = torch.tensor([[1.0, 2**-2]]).to(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        of_caption = caption_scores(patches, caption)
        of_words = token_max_scores(patches, caption[:, None], torch.ones(1, 1, dtype=torch.bool))
    for scores in (of_caption, of_words):
        assert scores.dtype == torch.float32
        assert scores[0, 0] > scores[0, 1]


def test_draws_come_from_the_keys_alone():
    keys, cpu = torch.tensor([3, 4]), torch.device("cpu")
    torch.manual_seed(1)
    first = uniform_draws(keys, "purpose", (5,), cpu)
    torch.manual_seed(2)
    assert torch.equal(first, uniform_draws(keys, "purpose", (5,), cpu))
    assert torch.equal(first[1:], uniform_draws(keys[1:], "purpose", (5,), cpu))
    assert not torch.equal(first, uniform_draws(keys, "another purpose", (5,), cpu))


@pytest.mark.parametrize("ratio", [0.0, 1.0, -0.5])
@pytest.mark.parametrize("name", ["captioning_hidden_ratio", "reconstruction_masked_ratio"])
def test_ratios_outside_0_and_1_are_refused(name: str, ratio: float):
    with pytest.raises(ValueError, match=f"masking.{name} must lie between 0 and 1, got"):
        replace(MaskingConfig(), **{name: ratio})
