"""Classification heads of fine-tuned models: answers to questions, classes of images."""

import math
from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from sycoca.precision import at_least_float32


@final
class AnswerHead(nn.Module):
    """A linear classifier over a fixed list of answers (CoCa, arXiv 2205.01917, section 4.2.2)."""

    def __init__(self, width: int, num_answers: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, num_answers)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize small weights, and biases so that every answer starts near a probability of 1 / num_answers."""
        nn.init.normal_(self.linear.weight, std=0.01)
        nn.init.constant_(self.linear.bias, -math.log(self.linear.out_features))

    def forward(
        self, states: Float[Tensor, "batch tokens width"], is_padding: Bool[Tensor, "batch tokens"]
    ) -> Float[Tensor, "batch answers"]:
        """Return a logit per answer from the state of each row's last real token."""
        last = (~is_padding).sum(dim=1) - 1
        return at_least_float32(self.linear(states[torch.arange(len(states), device=states.device), last]))


@final
class ClassHead(nn.Module):
    """A linear classifier of pooled images."""

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, num_classes)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize to zero, so that all classes start with the same logit."""
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Float[Tensor, "batch features"]) -> Float[Tensor, "batch classes"]:
        """Return a logit per class."""
        return at_least_float32(self.linear(features))
