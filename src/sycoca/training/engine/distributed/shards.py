"""Sharded tensors: this process's shard, the whole, and sums over shards.

Of tensors that are not sharded these functions return the tensors themselves, so callers need not know. PyTorch's
DTensor is recognized by its methods, since its import takes half a second, which runs of one process save.
"""

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor


def is_sharded(tensor: Tensor) -> bool:
    """Return whether a tensor is sharded over processes."""
    return hasattr(tensor, "full_tensor")


@torch.no_grad()
def own_shard(tensor: Tensor) -> Tensor:
    """Return this process's shard of a tensor, which may be empty; it shares the tensor's memory."""
    return tensor.to_local() if is_sharded(tensor) else tensor.detach()  # pyright: ignore[reportAttributeAccessIssue]


@torch.no_grad()
def whole(tensor: Tensor) -> Tensor:
    """Return the whole of a sharded tensor; called by all processes, each of which gets all of it."""
    return tensor.full_tensor() if is_sharded(tensor) else tensor.detach()  # pyright: ignore[reportAttributeAccessIssue]


def is_first_replica(tensor: Tensor) -> bool:
    """Return whether this process belongs to the first of the groups that hold replicas of a sharded tensor."""
    mesh = tensor.device_mesh  # pyright: ignore[reportAttributeAccessIssue]
    shards = _shard_dimension(tensor)
    return all(mesh.get_local_rank(dimension) == 0 for dimension in range(mesh.ndim) if dimension != shards)


def sum_over_shards(total: Tensor, tensors: Sequence[Tensor]) -> Tensor:
    """Return a sum over the shards of tensors, of which ``total`` is this process's part; equal in all processes."""
    sharded = next(filter(is_sharded, tensors), None)
    if sharded is None:
        return total
    dist.all_reduce(total, group=_shard_group(sharded))
    return total


def first_row(tensor: Tensor) -> int:
    """Return at which index of the first dimension of the whole this process's shard begins; 0 without shards."""
    if not is_sharded(tensor):
        return 0
    mesh = tensor.device_mesh  # pyright: ignore[reportAttributeAccessIssue]
    rank = mesh.get_local_rank(_shard_dimension(tensor))
    # As FSDP cuts: all shards have as many rows but the last ones, which have fewer or none.
    rows = -(-len(tensor) // mesh.size(_shard_dimension(tensor)))
    return min(rank * rows, len(tensor))


def _shard_group(tensor: Tensor) -> "dist.ProcessGroup":
    return tensor.device_mesh.get_group(_shard_dimension(tensor))  # pyright: ignore[reportAttributeAccessIssue]


def _shard_dimension(tensor: Tensor) -> int:
    """Return the dimension of the device mesh over which a tensor is sharded; others hold replicas."""
    return next(
        dimension
        for dimension, placement in enumerate(tensor.placements)  # pyright: ignore[reportAttributeAccessIssue]
        if placement.is_shard()
    )
