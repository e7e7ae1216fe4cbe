"""The linear layer of blocks and of the vocabulary head."""

from typing import Any, assert_never, final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sycoca.model.forms import Activation
from sycoca.model.int8_matrix import Int8Matrix
from sycoca.model.low_rank import LowRankAdapter
from sycoca.model.products import bias_gradient, input_gradient, linear, onednn_product, product, weight_gradient

QUICK_GELU_SLOPE = 1.702
"""OpenAI's CLIP approximates GELU by x sigmoid(1.702 x)."""


@final
class Linear(nn.Linear):
    """PyTorch's linear layer, faster on a CPU (`products`) and with less memory for inputs that are cheap to recompute.

    With an ``adapter`` its low-rank update is added to W. With an ``int8`` matrix this takes the place of W, which is
    None then; such a layer has no gradients. ``packed`` is a copy of W while there is one, see `PackedMatrices`.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__(in_features, out_features, bias)
        self.adapter: LowRankAdapter | None = None
        self.int8: Int8Matrix | None = None
        self.packed: Tensor | None = None

    @property
    def whole_weight(self) -> Float[Tensor, "out_features in_features"]:
        """W, with the update of its adapter."""
        if self.int8 is not None:
            return self.int8.dequantized()
        return self.weight if self.adapter is None else self.weight + self.adapter.update()

    def quantize(self) -> None:
        """Replace W, and the adapter, by an int8 matrix."""
        self.int8 = Int8Matrix(self.whole_weight, self.bias)
        self.adapter = None
        self.register_parameter("weight", None)

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if self.int8 is not None:
            destination[f"{prefix}weight"] = self.whole_weight

    def forward(self, input: Float[Tensor, "*rows in_features"]) -> Float[Tensor, "*rows out_features"]:
        """Return x W^T + b."""
        if self.int8 is not None:
            return self.int8.linear(input)
        packed = self.packed  # read once, since another thread that decodes may end its use
        if packed is None:
            projected = linear(input, self.weight, self.bias)
        else:
            projected = onednn_product(input, packed, self.bias)
        return projected if self.adapter is None else projected + self.adapter(input)

    def after_norm(
        self, norm: nn.LayerNorm, x: Float[Tensor, "*rows in_features"]
    ) -> Float[Tensor, "*rows out_features"]:
        """Return the layer's output for the normalized x, which backward recomputes instead of saving it."""
        if _saves_inputs():
            return self(norm(x))
        projected = _NormLinear.apply(x, norm.weight, norm.bias, norm.eps, self.weight, self.bias)
        return projected if self.adapter is None else projected + self.adapter(norm(x))

    def after_activation(
        self, activation: Activation, x: Float[Tensor, "*rows hidden_features"]
    ) -> Float[Tensor, "*rows out_features"]:
        """Return the layer's output for the activation of x, which backward recomputes instead of saving it."""
        if _saves_inputs():
            return self(_activated(activation, x))
        projected = _ActivationLinear.apply(activation, x, self.weight, self.bias)
        return projected if self.adapter is None else projected + self.adapter(_activated(activation, x))


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
        return product(normed, weight, bias)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, mean, inverse_std, scale, shift, weight = ctx.saved_tensors
        *needs_normed, _, needs_weight, needs_bias = ctx.needs_input_grad
        grad_x = grad_scale = grad_shift = grad_weight = None
        if any(needs_normed):
            grad_normed = input_gradient(grad_output, weight, x.dtype)
            grad_x, grad_scale, grad_shift = torch.ops.aten.native_layer_norm_backward(
                grad_normed, x, scale.shape, mean, inverse_std, scale, shift, needs_normed
            )
        if needs_weight:
            normed = torch.native_layer_norm(x, scale.shape, scale, shift, ctx.eps)[0]
            grad_weight = weight_gradient(grad_output, normed)
        return grad_x, grad_scale, grad_shift, None, grad_weight, bias_gradient(grad_output) if needs_bias else None


class _ActivationLinear(torch.autograd.Function):
    """An activation followed by a linear layer; saves only the activation's input for backward."""

    @staticmethod
    def forward(ctx: Any, activation: Activation, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.activation = activation
        return product(_activated(activation, x), weight, bias)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, weight = ctx.saved_tensors
        _, needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        grad_x = grad_weight = None
        if needs_x:
            grad_x = _activation_backward(ctx.activation, input_gradient(grad_output, weight, x.dtype), x)
        if needs_weight:
            grad_weight = weight_gradient(grad_output, _activated(ctx.activation, x))
        return None, grad_x, grad_weight, bias_gradient(grad_output) if needs_bias else None


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
