"""Matrices in int8 on a CPU, by PyTorch's own kernels."""

import warnings
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from sycoca.precision import DIVERGED

_LARGEST = 127
"""Quantized weights are symmetric: -127 to 127."""


@final
class Int8Matrix:
    """A weight matrix in int8 with a scale per row, and the product with it (dynamic quantization).

    Activations are quantized in every product to 7 bits with one scale for all of them, so that products of two bytes
    cannot overflow on processors without VNNI; sums are int32, and results float32. One scale for all rows of a batch
    means that a result depends a little on the others of its batch, about as much as in bfloat16.

    Raises ValueError for weights that are not finite, and where this PyTorch has no such kernels, which it has
    announced to remove.
    """

    def __init__(self, weight: Float[Tensor, "out_features in_features"], bias: Float[Tensor, " out_features"] | None):
        _check_kernels()
        # A copy, since the bias is kept, and may lie in the mapped file of all weights.
        weight, bias = weight.detach().float(), None if bias is None else bias.detach().float().clone()
        scales = weight.abs().amax(1).clamp_min(torch.finfo(torch.float32).tiny) / _LARGEST
        if not bool(scales.isfinite().all()):
            raise ValueError("weights that are not finite cannot be quantized" + DIVERGED)
        with warnings.catch_warnings():
            # PyTorch's successor (torchao) takes longer than float32 without a compiler; see docs/decisions.md.
            warnings.simplefilter("ignore")
            quantized = torch.quantize_per_channel(
                weight, scales.double(), torch.zeros(len(scales), dtype=torch.long), axis=0, dtype=torch.qint8
            )
        self.shape = weight.shape
        self._packed = torch.ops.quantized.linear_prepack(quantized, bias)

    def linear(self, x: Float[Tensor, "*rows in_features"]) -> Float[Tensor, "*rows out_features"]:
        """Return x W^T + b."""
        return torch.ops.quantized.linear_dynamic(x, self._packed, True)

    def dequantized(self) -> Float[Tensor, "out_features in_features"]:
        """Return the matrix in float32, as the products see it."""
        quantized, _ = torch.ops.quantized.linear_unpack(self._packed)
        return quantized.dequantize()


def _check_kernels() -> None:
    if torch.backends.quantized.engine == "none" or not hasattr(torch.ops.quantized, "linear_dynamic"):
        raise ValueError(
            f"PyTorch {torch.__version__} has no int8 matrices for this processor; use bfloat16 or float32,"
            " or an export in int8 (sycoca export --int8)"
        )
