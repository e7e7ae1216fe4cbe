"""Optimizer steps that leave everything as it is where the gradient is not finite."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def step_if_finite(optimizer: torch.optim.Optimizer, gradient_norm: Float[Tensor, ""]) -> Bool[Tensor, ""]:
    """Update the parameters unless the norm of the gradient is NaN or infinite; return whether it was finite.

    PyTorch's fused optimizers decide on the device, so that the host does not wait for it: with ``found_inf`` set,
    their kernels leave weights, moments and step counters untouched, as they do for `torch.amp.GradScaler`.
    """
    is_finite = gradient_norm.isfinite()
    if not all(group["fused"] for group in optimizer.param_groups):
        if is_finite:
            optimizer.step()
        return is_finite
    optimizer.found_inf = (~is_finite).float()  # pyright: ignore[reportAttributeAccessIssue]
    try:
        optimizer.step()
    finally:
        del optimizer.found_inf  # pyright: ignore[reportAttributeAccessIssue]
    return is_finite


@torch.no_grad()
def all_finite(tensors: list[Tensor]) -> bool:
    """Return whether no value of the tensors is NaN or infinite, in one pass over them."""
    floating = [tensor for tensor in tensors if tensor.is_floating_point() and tensor.numel()]
    if not floating:
        return True
    # The largest magnitude is NaN where any value is NaN.
    largest = torch.stack([norm.float() for norm in torch._foreach_norm(floating, float("inf"))])
    return bool(largest.isfinite().all())
