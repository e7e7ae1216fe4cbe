"""VQA: which answers of a list are right, to a question about an image."""

from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

AnswerLoss = Literal["binary_cross_entropy", "cross_entropy"]
"""Whether every answer is judged by itself, or all compete."""


def answering_loss(
    logits: Float[Tensor, "questions answers"],
    targets: Float[Tensor, "questions answers"],
    num_questions: int,
    kind: AnswerLoss,
) -> Float[Tensor, ""]:
    """Return the loss summed over answers and questions, divided by the questions of the whole global batch.

    ``targets`` say how right every answer is, 0 to 1; with cross_entropy a question's targets are divided by their
    sum. The sum over answers, and not their mean, is the convention: a mean would be thousands of times as small.
    """
    if kind == "binary_cross_entropy":
        return F.binary_cross_entropy_with_logits(logits, targets.to(logits), reduction="sum") / num_questions
    shares = targets.to(logits) / targets.sum(dim=1, keepdim=True).to(logits)
    return F.cross_entropy(logits, shares, reduction="sum") / num_questions
