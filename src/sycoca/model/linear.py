"""The linear layer of blocks and of the vocabulary head."""

from typing import Any, assert_never, final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sycoca.model.forms import Activation

QUICK_GELU_SLOPE = 1.702
"""OpenAI's CLIP approximates GELU by x sigmoid(1.702 x)."""

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

    def of_activation(
        self, activation: Activation, x: Float[Tensor, "*rows in_features"]
    ) -> Float[Tensor, "*rows out_features"]:
        """Return what the layer makes of x, activated, which backward computes again instead of it being kept."""
        if _keeps_inputs():
            return self(_activated(activation, x))
        return _LinearOfActivation.apply(activation, x, self.weight, self.bias)


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
        *needs_normed, _, needs_weight, needs_bias = ctx.needs_input_grad
        of_x = of_scale = of_shift = of_weight = None
        if any(needs_normed):
            of_x, of_scale, of_shift = torch.ops.aten.native_layer_norm_backward(
                _of_input(toward, weight, x.dtype), x, scale.shape, mean, inverse_std, scale, shift, needs_normed
            )
        if needs_weight:
            normed = torch.native_layer_norm(x, scale.shape, scale, shift, ctx.eps)[0]
            of_weight = _of_weight(toward, normed)
        return of_x, of_scale, of_shift, None, of_weight, _of_bias(toward) if needs_bias else None


class _LinearOfActivation(torch.autograd.Function):
    """A linear layer of an activation, of which backward gets the activation's input alone."""

    @staticmethod
    def forward(ctx: Any, activation: Activation, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.activation = activation
        return F.linear(_activated(activation, x), weight, bias)

    @staticmethod
    def backward(ctx: Any, toward: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, weight = ctx.saved_tensors
        _, needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        of_x = of_weight = None
        if needs_x:
            of_x = _activation_backward(ctx.activation, _of_input(toward, weight, x.dtype), x)
        if needs_weight:
            of_weight = _of_weight(toward, _activated(ctx.activation, x))
        return None, of_x, of_weight, _of_bias(toward) if needs_bias else None


def _activated(activation: Activation, x: Tensor) -> Tensor:
    match activation:
        case "gelu":
            return F.gelu(x)
        case "quick_gelu":
            return x * torch.sigmoid(QUICK_GELU_SLOPE * x)
        case unknown:
            assert_never(unknown)


def _activation_backward(activation: Activation, toward: Tensor, x: Tensor) -> Tensor:
    match activation:
        case "gelu":
            return torch.ops.aten.gelu_backward(toward, x)
        case "quick_gelu":
            gate = torch.sigmoid(QUICK_GELU_SLOPE * x)
            return toward * (gate + QUICK_GELU_SLOPE * x * gate * (1 - gate))
        case unknown:
            assert_never(unknown)


def _of_input(toward: Tensor, weight: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the gradient of a linear layer's input, computed in the type of its output as the two below are."""
    return (toward @ weight.to(toward.dtype)).to(dtype)


def _of_weight(toward: Tensor, input: Tensor) -> Tensor:
    return toward.flatten(0, -2).T @ input.flatten(0, -2).to(toward.dtype)


def _of_bias(toward: Tensor) -> Tensor:
    return toward.flatten(0, -2).sum(0)
