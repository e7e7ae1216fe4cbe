"""The linear layer of blocks and of the vocabulary head."""

from typing import Any, assert_never, final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sycoca.model.forms import Activation
from sycoca.model.low_rank import LowRankAdapter

QUICK_GELU_SLOPE = 1.702
"""OpenAI's CLIP approximates GELU by x sigmoid(1.702 x)."""

_FEW_ROWS = range(1, 49)
"""Numbers of rows in a decoding step, which has one token per caption."""


@final
class Linear(nn.Linear):
    """PyTorch's linear layer, faster for few rows on a CPU and with less memory for inputs that are cheap to recompute.

    For few rows it computes (W x^T)^T, in a quarter to all of the time. Matrix libraries parallelize over the columns
    of a product: W x^T has one per row of x, each of which reads the weights in order, while x W^T has too few rows to
    parallelize.

    With an ``adapter`` its low-rank update is added to W.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__(in_features, out_features, bias)
        self.adapter: LowRankAdapter | None = None

    @property
    def whole_weight(self) -> Float[Tensor, "out_features in_features"]:
        """W, with the update of its adapter."""
        return self.weight if self.adapter is None else self.weight + self.adapter.update()

    def forward(self, input: Float[Tensor, "*rows in_features"]) -> Float[Tensor, "*rows out_features"]:
        """Return x W^T + b."""
        product = self._product(input)
        return product if self.adapter is None else product + self.adapter(input)

    def _product(self, input: Float[Tensor, "*rows in_features"]) -> Float[Tensor, "*rows out_features"]:
        num_rows = input.numel() // self.in_features
        if (
            torch.is_grad_enabled()
            or torch.compiler.is_compiling()
            or input.dtype != torch.float32
            or input.device.type != "cpu"
            or num_rows not in _FEW_ROWS
        ):
            return super().forward(input)
        flat = input.reshape(num_rows, self.in_features)
        # With one column the product is one of matrix and vector, which takes up to three times as long.
        columns = (flat if num_rows > 1 else flat.repeat(2, 1)).T
        transposed = torch.mm(self.weight, columns).T[:num_rows]
        rows = input.new_empty(num_rows, self.out_features)  # the fused attention kernel needs contiguous features
        rows = rows.copy_(transposed) if self.bias is None else torch.add(transposed, self.bias, out=rows)
        return rows.unflatten(0, input.shape[:-1])

    def after_norm(
        self, norm: nn.LayerNorm, x: Float[Tensor, "*rows in_features"]
    ) -> Float[Tensor, "*rows out_features"]:
        """Return the layer's output for the normalized x, which backward recomputes instead of saving it."""
        if _saves_inputs():
            return self(norm(x))
        product = _NormLinear.apply(x, norm.weight, norm.bias, norm.eps, self.weight, self.bias)
        return product if self.adapter is None else product + self.adapter(norm(x))

    def after_activation(
        self, activation: Activation, x: Float[Tensor, "*rows hidden_features"]
    ) -> Float[Tensor, "*rows out_features"]:
        """Return the layer's output for the activation of x, which backward recomputes instead of saving it."""
        if _saves_inputs():
            return self(_activated(activation, x))
        product = _ActivationLinear.apply(activation, x, self.weight, self.bias)
        return product if self.adapter is None else product + self.adapter(_activated(activation, x))


def _saves_inputs() -> bool:
    # torch.compile decides itself what to save for backward.
    return not torch.is_grad_enabled() or torch.compiler.is_compiling()


class _NormLinear(torch.autograd.Function):
    """A LayerNorm followed by a linear layer; saves only the norm's input and statistics for backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, shift: Tensor, eps: float, weight: Tensor, bias: Tensor) -> Tensor:
        x, scale, shift = (tensor.to(torch.promote_types(x.dtype, scale.dtype)) for tensor in (x, scale, shift))
        normed, mean, inverse_std = torch.native_layer_norm(x, scale.shape, scale, shift, eps)
        ctx.save_for_backward(x, mean, inverse_std, scale, shift, weight)
        ctx.eps = eps
        return F.linear(normed, weight, bias)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, mean, inverse_std, scale, shift, weight = ctx.saved_tensors
        *needs_normed, _, needs_weight, needs_bias = ctx.needs_input_grad
        grad_x = grad_scale = grad_shift = grad_weight = None
        if any(needs_normed):
            grad_normed = _grad_input(grad_output, weight, x.dtype)
            grad_x, grad_scale, grad_shift = torch.ops.aten.native_layer_norm_backward(
                grad_normed, x, scale.shape, mean, inverse_std, scale, shift, needs_normed
            )
        if needs_weight:
            normed = torch.native_layer_norm(x, scale.shape, scale, shift, ctx.eps)[0]
            grad_weight = _grad_weight(grad_output, normed)
        return grad_x, grad_scale, grad_shift, None, grad_weight, _grad_bias(grad_output) if needs_bias else None


class _ActivationLinear(torch.autograd.Function):
    """An activation followed by a linear layer; saves only the activation's input for backward."""

    @staticmethod
    def forward(ctx: Any, activation: Activation, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.activation = activation
        return F.linear(_activated(activation, x), weight, bias)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, weight = ctx.saved_tensors
        _, needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        grad_x = grad_weight = None
        if needs_x:
            grad_x = _activation_backward(ctx.activation, _grad_input(grad_output, weight, x.dtype), x)
        if needs_weight:
            grad_weight = _grad_weight(grad_output, _activated(ctx.activation, x))
        return None, grad_x, grad_weight, _grad_bias(grad_output) if needs_bias else None


def _activated(activation: Activation, x: Tensor) -> Tensor:
    match activation:
        case "gelu":
            return F.gelu(x)
        case "quick_gelu":
            return x * torch.sigmoid(QUICK_GELU_SLOPE * x)
        case "gelu_tanh":
            return F.gelu(x, approximate="tanh")
        case "swiglu":
            gate, gated = x.chunk(2, -1)
            return F.silu(gate) * gated
        case unknown:
            assert_never(unknown)


def _activation_backward(activation: Activation, grad_output: Tensor, x: Tensor) -> Tensor:
    match activation:
        case "gelu":
            return torch.ops.aten.gelu_backward(grad_output, x)
        case "quick_gelu":
            gate = torch.sigmoid(QUICK_GELU_SLOPE * x)
            return grad_output * (gate + QUICK_GELU_SLOPE * x * gate * (1 - gate))
        case "gelu_tanh":
            return torch.ops.aten.gelu_backward(grad_output, x, approximate="tanh")
        case "swiglu":
            gate, gated = x.chunk(2, -1)
            grad_gate = torch.ops.aten.silu_backward(grad_output * gated, gate)
            return torch.cat([grad_gate, grad_output * F.silu(gate)], -1)
        case unknown:
            assert_never(unknown)


def _grad_input(grad_output: Tensor, weight: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the gradient of a linear layer's input, computed like the two below in the dtype of its output."""
    return (grad_output @ weight.to(grad_output.dtype)).to(dtype)


def _grad_weight(grad_output: Tensor, input: Tensor) -> Tensor:
    return grad_output.flatten(0, -2).T @ input.flatten(0, -2).to(grad_output.dtype)


def _grad_bias(grad_output: Tensor) -> Tensor:
    return grad_output.flatten(0, -2).sum(0)
