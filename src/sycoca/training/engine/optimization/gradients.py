"""Gradient clipping by the global norm."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sycoca.training.engine.distributed.shards import is_sharded, own_shard, sum_over_shards

_EPS = 1e-6
"""Added to the norm before dividing by it, as PyTorch does."""


def clip_gradients(parameters: Sequence[nn.Parameter], max_norm: float) -> Float[Tensor, ""]:
    """Clip the gradients to a global norm of ``max_norm``; return the norm before clipping.

    Of sharded gradients it is the norm of the whole ones; then it is called by all processes.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if any(map(is_sharded, gradients)):
        return _clip_shards(gradients, max_norm)
    if any(gradient.device.type != "cpu" for gradient in gradients):
        return nn.utils.clip_grad_norm_(parameters, max_norm)
    norm = _sum_of_squares_on_cpu(gradients).sqrt().to(gradients[0].dtype)
    # On a GPU this comparison would wait for the device; on a CPU it saves a pass over all gradients.
    if norm > max_norm:
        nn.utils.clip_grads_with_norm_(parameters, max_norm, norm)
    return norm


@torch.no_grad()
def _clip_shards(gradients: Sequence[Tensor], max_norm: float) -> Float[Tensor, ""]:
    shards = [own_shard(gradient) for gradient in gradients]
    if shards[0].device.type == "cpu":
        squares = _sum_of_squares_on_cpu(shards)
    else:
        squares = nn.utils.get_total_norm(shards).double().square()
    norm = sum_over_shards(squares, gradients).sqrt().to(shards[0].dtype)
    factor = torch.clamp(max_norm / (norm + _EPS), max=1.0)
    torch._foreach_mul_(shards, factor)
    return norm


def _sum_of_squares_on_cpu(gradients: Sequence[Tensor]) -> Float[Tensor, ""]:
    # PyTorch's norm takes twice as long, and summing 25 million squares in float32 has a relative error of 1e-3.
    squares = torch.stack([torch.dot(flat, flat) for flat in (gradient.flatten() for gradient in gradients)])
    return squares.double().sum()
