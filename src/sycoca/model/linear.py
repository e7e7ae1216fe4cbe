"""The linear layer of blocks and of the vocabulary head."""

from typing import Any, final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

_FEW_ROWS = range(8, 49)
"""So many rows decoding has: one token of each of some captions."""


@final
class Linear(nn.Linear):
    """PyTorch's, with less time for a few rows on a CPU and less memory for inputs that are cheap to compute again.

    A few rows: the product is taken the other way round, in half the time. Matrix libraries share work out by columns
    of what they compute; (W x^T)^T has as many as there are rows, each of which reads the weights in order, while
    x W^T has too few rows to share.
    """

    def forward(self, input: Float[Tensor, "*rows in_features"]) -> Float[Tensor, "*rows out_features"]:
        """Return x W^T + b."""
        num_rows = input.numel() // self.in_features
        if (
            torch.is_grad_enabled()
            or torch.compiler.is_compiling()
            or input.dtype != torch.float32
            or input.device.type != "cpu"
            or num_rows not in _FEW_ROWS
        ):
            return super().forward(input)
        turned = torch.mm(self.weight, input.reshape(num_rows, self.in_features).T).T
        rows = input.new_empty(num_rows, self.out_features)  # attention's fused kernel wants features side by side
        rows = rows.copy_(turned) if self.bias is None else torch.add(turned, self.bias, out=rows)
        return rows.unflatten(0, input.shape[:-1])

    def of_norm(self, norm: nn.LayerNorm, x: Float[Tensor, "*rows in_features"]) -> Float[Tensor, "*rows out_features"]:
        """Return what the layer makes of the normed x, which backward computes again instead of it being kept."""
        if _keeps_inputs():
            return self(norm(x))
        return _LinearOfNorm.apply(x, norm.weight, norm.bias, norm.eps, self.weight, self.bias)

    def of_gelu(self, x: Float[Tensor, "*rows in_features"]) -> Float[Tensor, "*rows out_features"]:
        """Return what the layer makes of GELU (exact) of x, which backward computes again instead of it being kept."""
        if _keeps_inputs():
            return self(F.gelu(x))
        return _LinearOfGelu.apply(x, self.weight, self.bias)


def _keeps_inputs() -> bool:
    # Compilers decide by themselves what to keep for backward.
    return not torch.is_grad_enabled() or torch.compiler.is_compiling()


class _LinearOfNorm(torch.autograd.Function):
    """A linear layer of a layer norm, of which backward gets the norm's input and statistics alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, shift: Tensor, eps: float, weight: Tensor, bias: Tensor) -> Tensor:
        x = x.to(scale.dtype)
        normed, mean, inverse_std = torch.native_layer_norm(x, scale.shape, scale, shift, eps)
        ctx.save_for_backward(x, mean, inverse_std, scale, shift, weight)
        ctx.eps = eps
        return F.linear(normed, weight, bias)

    @staticmethod
    def backward(ctx: Any, toward: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, mean, inverse_std, scale, shift, weight = ctx.saved_tensors
        normed = torch.native_layer_norm(x, scale.shape, scale, shift, ctx.eps)[0]
        toward_normed, of_weight, of_bias = _linear_backward(toward, normed, weight)
        of_x, of_scale, of_shift = torch.ops.aten.native_layer_norm_backward(
            toward_normed, x, scale.shape, mean, inverse_std, scale, shift, [True, True, True]
        )
        return of_x, of_scale, of_shift, None, of_weight, of_bias


class _LinearOfGelu(torch.autograd.Function):
    """A linear layer of GELU, of which backward gets GELU's input alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return F.linear(F.gelu(x), weight, bias)

    @staticmethod
    def backward(ctx: Any, toward: Tensor) -> tuple[Tensor, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, weight = ctx.saved_tensors
        toward_activated, of_weight, of_bias = _linear_backward(toward, F.gelu(x), weight)
        return torch.ops.aten.gelu_backward(toward_activated, x), of_weight, of_bias


def _linear_backward(toward: Tensor, input: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of a linear layer's input, weight and bias, computed in the type of its output."""
    rows = toward.flatten(0, -2)
    of_input = (toward @ weight.to(toward.dtype)).to(input.dtype)
    return of_input, rows.T @ input.flatten(0, -2).to(toward.dtype), rows.sum(0)
