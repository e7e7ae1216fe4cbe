"""Optimizer steps that leave everything as it is where the gradient is not finite."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sycoca.training.engine.distributed.shards import own_shard


def step_if_finite(optimizer: torch.optim.Optimizer, gradient_norm: Float[Tensor, ""]) -> None:
    """Update the parameters unless the norm of the gradient is NaN or infinite."""
    is_finite = gradient_norm.isfinite()
    is_fused = all(group["fused"] for group in optimizer.param_groups)
    if is_fused and gradient_norm.device.type != "cpu":
        step_on_device_if(optimizer, is_finite)
    elif is_finite:
        optimizer.step()


def step_on_device_if(optimizer: torch.optim.Optimizer, condition: Bool[Tensor, ""]) -> None:
    """Update the parameters if the condition holds, without the host waiting for it.

    With ``found_inf`` set, PyTorch's fused kernels leave weights, moments and step counters untouched, as they do for
    `torch.amp.GradScaler`.
    """
    optimizer.found_inf = (~condition).float()  # pyright: ignore[reportAttributeAccessIssue]
    try:
        optimizer.step()
    finally:
        del optimizer.found_inf  # pyright: ignore[reportAttributeAccessIssue]


@torch.no_grad()
def all_finite(tensors: list[Tensor]) -> bool:
    """Return whether no value of the tensors is NaN or infinite, in one pass over them; of shards, over one's own."""
    shards = [own_shard(tensor) for tensor in tensors]
    floating = [shard for shard in shards if shard.is_floating_point() and shard.numel()]
    # The largest magnitude is NaN where any value is NaN.
    return bool(torch.nn.utils.get_total_norm(floating, float("inf")).isfinite())
