"""VQA: classification of a question about an image over a list of answers."""

from typing import assert_never

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from sycoca.objectives.config import AnswerLoss


def vqa_loss(
    logits: Float[Tensor, "questions answers"],
    targets: Float[Tensor, "questions answers"],
    num_questions: int | Int[Tensor, ""],
    kind: AnswerLoss,
) -> Float[Tensor, ""]:
    """Return the loss summed over answers and questions, divided by the questions of the whole global batch.

    ``targets`` are soft, 0 to 1 per answer; with cross_entropy a question's targets are divided by their sum. By
    convention answers are summed, not averaged: a mean would be smaller by a factor of thousands.
    """
    match kind:
        case "binary_cross_entropy":
            total = F.binary_cross_entropy_with_logits(logits, targets.to(logits), reduction="sum")
        case "cross_entropy":
            probabilities = targets.to(logits) / targets.sum(dim=1, keepdim=True).to(logits)
            total = F.cross_entropy(logits, probabilities, reduction="sum")
        case unknown:
            assert_never(unknown)
    return total / num_questions


def answers_exclude_each_other(kind: AnswerLoss) -> bool:
    """Return whether the answers' probabilities sum to 1 with this loss."""
    match kind:
        case "binary_cross_entropy":
            return False
        case "cross_entropy":
            return True
        case unknown:
            assert_never(unknown)
