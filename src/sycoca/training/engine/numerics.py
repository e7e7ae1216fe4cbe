"""In which numbers a run computes: precision of the forward pass, scaling of the loss, and TF32.

The only module that changes PyTorch's global settings of matrix products. Its others stay as PyTorch has them; among
them, GPUs may sum the parts of a long bf16 or fp16 product in that precision.
"""

import contextlib
from typing import Any, assert_never

import torch

from sycoca.model.automatic_precision import automatic_precision
from sycoca.training.runtime_config import FixedPrecision, Precision


def choose_precision(precision: Precision, device: torch.device) -> FixedPrecision:
    """Return the precision, with ``auto`` resolved for the device."""
    match precision:
        case "auto":
            return _automatic(device)
        case "fp32" | "bf16" | "fp16":
            return precision
        case unknown:
            assert_never(unknown)


def _automatic(device: torch.device) -> FixedPrecision:
    match device.type:
        case "cuda":
            return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
        case "cpu":
            return automatic_precision("training")
        case _:
            return "fp32"


def half_dtype(precision: FixedPrecision) -> torch.dtype | None:
    """Return the type of matrix products of this precision; None where they are in fp32, as the weights are."""
    match precision:
        case "fp32":
            return None
        case "bf16":
            return torch.bfloat16
        case "fp16":
            return torch.float16
        case unknown:
            assert_never(unknown)


def autocast(precision: FixedPrecision, device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Return the context of a forward pass in this precision."""
    dtype = half_dtype(precision)
    return contextlib.nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype)


def scales_loss(precision: FixedPrecision) -> bool:
    """Return whether the loss is scaled for the backward pass, since small gradients would underflow."""
    match precision:
        case "fp32" | "bf16":
            return False
        case "fp16":
            return True
        case unknown:
            assert_never(unknown)


def set_matrix_products(device: torch.device, *, tf32: bool) -> None:
    """Set whether GPUs of NVIDIA may round the factors of fp32 matrix products to TF32, for the whole process.

    On other devices nothing changes, so that a process that trains on a CPU does not alter how others compute there.
    """
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high" if tf32 else "highest")
