import pytest
import torch

from sycoca.objectives.vqa import vqa_loss

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, -2.0]], dtype=torch.float64)
TARGETS = torch.tensor([[1.0, 0.0, 0.3], [0.6, 0.6, 0.0]])


def test_binary_cross_entropy_is_summed_over_answers():
    probabilities = 1 / (1 + (-LOGITS).exp())
    targets = TARGETS.double()
    entropies = -(targets * probabilities.log() + (1 - targets) * (1 - probabilities).log())
    loss = vqa_loss(LOGITS, TARGETS, 2, "binary_cross_entropy")
    assert loss.item() == pytest.approx(entropies.sum().item() / 2)


def test_cross_entropy_normalizes_targets_over_answers():
    log_probs = LOGITS.log_softmax(1)
    expected = -(log_probs[0, 0] / 1.3 + log_probs[0, 2] * 0.3 / 1.3 + (log_probs[1, 0] + log_probs[1, 1]) / 2)
    assert vqa_loss(LOGITS, TARGETS, 2, "cross_entropy").item() == pytest.approx(expected.item() / 2, rel=1e-6)


@pytest.mark.parametrize("kind", ["binary_cross_entropy", "cross_entropy"])
def test_losses_of_micro_batches_sum_to_that_of_the_batch(kind):
    whole = vqa_loss(LOGITS, TARGETS, 2, kind)
    parts = sum(vqa_loss(LOGITS[i : i + 1], TARGETS[i : i + 1], 2, kind) for i in range(2))
    torch.testing.assert_close(parts, whole)
