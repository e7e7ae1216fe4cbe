import pytest
import torch

from sycoca.metrics.grounding import (
    described_patch_auc,
    grounding_average_precision,
    largest_mask_coverage,
    mask_coverage,
)


def slow_average_precision(pixel_scores: list[float], is_described: list[bool]) -> float:
    """Average precision over single pixels by its definition, thresholds from the highest score down."""
    total, found_before = sum(is_described), 0
    precision_sum = 0.0
    for threshold in sorted(set(pixel_scores), reverse=True):
        taken = [described for score, described in zip(pixel_scores, is_described, strict=True) if score >= threshold]
        precision_sum += (sum(taken) - found_before) / total * (sum(taken) / len(taken))
        found_before = sum(taken)
    return precision_sum


def test_coverage_worked_out_by_hand():
    described = torch.tensor([[0.5, 0.0, 1.0, 0.5], [0.0, 0.25, 0.0, 0.0]])
    is_chosen = torch.tensor([[True, True, False, False], [False, True, True, False]])
    assert mask_coverage(is_chosen, described).tolist() == [0.25, 1.0]
    assert largest_mask_coverage(described, 2).tolist() == [0.75, 1.0]


def test_average_precision_equals_its_definition_on_pixels():
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        counts = torch.randint(0, 5, (6,), generator=generator)  # described among the 4 pixels of each patch
        counts[0] += counts.sum() == 0
        scores = torch.randint(0, 4, (6,), generator=generator).float()  # ties are common
        pixel_scores = [score for score in scores.tolist() for _ in range(4)]
        is_described = [k < count for count in counts.tolist() for k in range(4)]
        found = grounding_average_precision(scores[None], counts[None] / 4)
        assert found.item() == pytest.approx(slow_average_precision(pixel_scores, is_described))


def test_average_precision_of_equal_scores_is_chance():
    described = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    assert grounding_average_precision(torch.zeros(1, 4), described).item() == pytest.approx(0.25)
    assert grounding_average_precision(described, described).item() == 1.0


def test_permuting_patches_changes_nothing():
    scores, described, order = torch.rand(3, 9), torch.rand(3, 9), torch.randperm(9)
    torch.testing.assert_close(
        grounding_average_precision(scores, described),
        grounding_average_precision(scores[:, order], described[:, order]),
    )


def test_refuses_samples_without_described_pixels():
    described = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    with pytest.raises(ValueError, match="sample 1 has no described pixels"):
        mask_coverage(torch.ones(2, 2, dtype=torch.bool), described)
    with pytest.raises(ValueError, match="sample 1 has no described pixels"):
        grounding_average_precision(torch.zeros(2, 2), described)
    with pytest.raises(ValueError, match="sample 1 has no described pixels"):
        largest_mask_coverage(described, 1)


def test_auc_equals_counting_pairs_of_pixels():
    generator = torch.Generator().manual_seed(6)
    scores = torch.randint(0, 5, (20, 9), generator=generator) / 4  # with ties
    described, undescribed = (torch.randint(0, 3, (20, 9), generator=generator).float() for _ in range(2))
    described[:, 0], undescribed[:, 1] = 1.0, 1.0
    expected = []
    for row in range(20):
        won = total = 0.0
        for own, weight in zip(scores[row].tolist(), described[row].tolist(), strict=True):
            for other, other_weight in zip(scores[row].tolist(), undescribed[row].tolist(), strict=True):
                won += weight * other_weight * ((own > other) + 0.5 * (own == other))
                total += weight * other_weight
        expected.append(won / total)
    assert described_patch_auc(scores, described, undescribed).tolist() == pytest.approx(expected)


def test_auc_of_perfect_inverted_and_constant_scores():
    described, undescribed = torch.tensor([[1.0, 0.0, 0.0, 0.5]]), torch.tensor([[0.0, 1.0, 0.25, 0.0]])
    scores = torch.tensor([[4.0, 2.0, 1.0, 3.0]])
    assert described_patch_auc(scores, described, undescribed).item() == 1.0
    assert described_patch_auc(-scores, described, undescribed).item() == 0.0
    assert described_patch_auc(torch.zeros(1, 4), described, undescribed).item() == 0.5
    with pytest.raises(ValueError, match="no described pixels"):
        described_patch_auc(scores, described, torch.zeros(1, 4))
