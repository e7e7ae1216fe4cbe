"""The linear layer of blocks and of the vocabulary head."""

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

_FEW_ROWS = range(8, 49)
"""So many rows decoding has: one token of each of some captions."""


@final
class Linear(nn.Linear):
    """PyTorch's, but for a few rows on a CPU the product is taken the other way round, in half the time.

    Matrix libraries there share work out by columns of what they compute; (W x^T)^T has as many as there are rows, each
    of which reads the weights in order, while x W^T has too few rows to share.
    """

    def forward(self, input: Float[Tensor, "*rows in_features"]) -> Float[Tensor, "*rows out_features"]:
        """Return x W^T + b."""
        num_rows = input.numel() // self.in_features
        if (
            input.dtype != torch.float32
            or input.device.type != "cpu"
            or num_rows not in _FEW_ROWS
            or torch.is_grad_enabled()
        ):
            return super().forward(input)
        turned = torch.mm(self.weight, input.reshape(num_rows, self.in_features).T).T
        rows = input.new_empty(num_rows, self.out_features)  # attention's fused kernel wants features side by side
        rows = rows.copy_(turned) if self.bias is None else torch.add(turned, self.bias, out=rows)
        return rows.unflatten(0, input.shape[:-1])
