"""Low-rank adapters (LoRA, arXiv 2106.09685): (alpha / rank) B A is added to a frozen weight matrix."""

import math
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


@final
class LowRankAdapter(nn.Module):
    """The two factors of an update of a weight matrix; B starts at zero, so that an untrained one changes nothing."""

    def __init__(self, in_features: int, out_features: int, rank: int, alpha: float) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.empty(rank, in_features))
        self.up = nn.Parameter(torch.zeros(out_features, rank))
        self.scale = alpha / rank
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, x: Float[Tensor, "*rows in_features"]) -> Float[Tensor, "*rows out_features"]:
        """Return what the update adds to the layer's output."""
        return F.linear(F.linear(x, self.down), self.scale * self.up)

    def update(self) -> Float[Tensor, "out_features in_features"]:
        """Return the update of the weight matrix."""
        return self.scale * self.up @ self.down
