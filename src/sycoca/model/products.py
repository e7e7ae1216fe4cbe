"""Products with weight matrices, by the faster of PyTorch's two libraries of matrix products on CPUs.

PyTorch multiplies float32 by MKL. On AMD's processors with AVX-512 oneDNN needs 0.79 to 0.99 of its time for many rows,
and 0.5 to 0.7 for 24. For a few rows (W x^T)^T is faster than both: matrix libraries parallelize over columns, and
W x^T has one per row, each of which reads the weights in order. Measurements: docs/benchmarks.md.
"""

import functools
import os
import platform
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

_FEW_ROWS = range(1, 49)
"""Numbers of rows in a decoding step, which has one token per caption."""

LEAST_ROWS_OF_ONEDNN = 12
"""For fewer, the transposed product is faster."""

_LEAST_WORK_OF_ONEDNN = 2**24
"""Multiplications of a product; for smaller ones MKL is as fast, or faster."""

_CACHED_KERNELS = "128"
"""More than the products of a training step in all their shapes; PyTorch's 1,024 take gigabytes where shapes vary."""

_CACHE_VARIABLES = ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY")
"""What PyTorch and oneDNN read the sizes of their caches from, at the first product in oneDNN."""


def limit_cached_kernels() -> None:
    """Limit how many compiled kernels oneDNN keeps in this process, unless the environment says how many."""
    for variable in _CACHE_VARIABLES:
        os.environ.setdefault(variable, _CACHED_KERNELS)


def linear(
    x: Float[Tensor, "*rows in_features"],
    weight: Float[Tensor, "out_features in_features"],
    bias: Float[Tensor, " out_features"] | None,
) -> Float[Tensor, "*rows out_features"]:
    """Return x W^T + b."""
    if _is_faster_in_onednn(x, weight):
        return _OneDnnLinear.apply(x, weight, bias)
    if _is_plain(x, weight) and _num_rows(x) in _FEW_ROWS and not torch.is_grad_enabled():
        return _transposed(x, weight, bias)
    return F.linear(x, weight, bias)


def product(
    x: Float[Tensor, "*rows in_features"],
    weight: Float[Tensor, "out_features in_features"],
    bias: Float[Tensor, " out_features"] | None = None,
) -> Float[Tensor, "*rows out_features"]:
    """Return x W^T + b, for use inside of functions that have their own gradients."""
    if _is_faster_in_onednn(x, weight):
        return onednn_product(x, weight, bias)
    return F.linear(x, weight, bias)


def input_gradient(
    grad_output: Float[Tensor, "*rows out_features"],
    weight: Float[Tensor, "out_features in_features"],
    dtype: torch.dtype,
) -> Float[Tensor, "*rows in_features"]:
    """Return the gradient of a linear layer's input, computed like the two below in the dtype of its output."""
    return product(grad_output, weight.to(grad_output.dtype).T).to(dtype)


def weight_gradient(
    grad_output: Float[Tensor, "*rows out_features"], input: Float[Tensor, "*rows in_features"]
) -> Float[Tensor, "out_features in_features"]:
    """Return the gradient of a linear layer's weight."""
    return grad_output.flatten(0, -2).T @ input.flatten(0, -2).to(grad_output.dtype)


def bias_gradient(grad_output: Float[Tensor, "*rows out_features"]) -> Float[Tensor, " out_features"]:
    """Return the gradient of a linear layer's bias."""
    return grad_output.flatten(0, -2).sum(0)


class _OneDnnLinear(torch.autograd.Function):
    """x W^T + b by oneDNN, whose operator has no gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, weight = ctx.saved_tensors
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        return (
            input_gradient(grad_output, weight, x.dtype) if needs_x else None,
            weight_gradient(grad_output, x) if needs_weight else None,
            bias_gradient(grad_output) if needs_bias else None,
        )


def onednn_product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return x W^T + b of a plain or packed W by the operator that torch.compile uses, which has no public name."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


def _transposed(
    x: Float[Tensor, "*rows in_features"],
    weight: Float[Tensor, "out_features in_features"],
    bias: Float[Tensor, " out_features"] | None,
) -> Float[Tensor, "*rows out_features"]:
    """Return (W x^T)^T + b."""
    num_rows = _num_rows(x)
    flat = x.reshape(num_rows, -1)
    # With one column the product is one of matrix and vector, which takes up to three times as long.
    columns = (flat if num_rows > 1 else flat.repeat(2, 1)).T
    transposed = torch.mm(weight, columns).T[:num_rows]
    rows = x.new_empty(num_rows, len(weight))  # the fused attention kernel needs contiguous features
    rows = rows.copy_(transposed) if bias is None else torch.add(transposed, bias, out=rows)
    return rows.unflatten(0, x.shape[:-1])


def _is_faster_in_onednn(x: Tensor, weight: Tensor) -> bool:
    return (
        _is_plain(x, weight)
        and _num_rows(x) >= LEAST_ROWS_OF_ONEDNN
        and _num_rows(x) * weight.numel() >= _LEAST_WORK_OF_ONEDNN
        and prefers_onednn()
    )


def _is_plain(x: Tensor, weight: Tensor) -> bool:
    """Return whether a product is in float32 on a CPU, and not left to a compiler."""
    return (
        x.dtype == weight.dtype == torch.float32
        and x.device.type == "cpu"
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


def _num_rows(x: Tensor) -> int:
    return x.numel() // x.shape[-1]


@functools.cache
def prefers_onednn() -> bool:
    """Return whether this is a processor of AMD with AVX-512, and PyTorch was built with oneDNN."""
    has_avx512 = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    return torch.backends.mkldnn.is_available() and has_avx512 and "AuthenticAMD" in _processor()


@functools.cache
def multiplies_bfloat16() -> bool:
    """Return whether oneDNN has kernels for bfloat16 on this x86 processor."""
    is_x86 = platform.machine().lower() in ("x86_64", "amd64")
    return is_x86 and torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def processor_name() -> str:
    """Return the processor's name from Linux, or else from Python."""
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text(encoding="utf-8").splitlines() if listing.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _processor() -> str:
    try:
        return Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:  # not Linux
        return platform.processor()
