"""Adapters of a model: the low-rank updates of the matrices of its attention and MLP layers."""

from collections.abc import Iterable, Iterator

import torch
from torch import nn

from sycoca.model.attention import CrossAttention, SelfAttention
from sycoca.model.linear import Linear
from sycoca.model.low_rank import LowRankAdapter
from sycoca.model.poolers import MapHead
from sycoca.model.transformer import Mlp

ADAPTER = ".adapter."
"""What the names of adapters' tensors have after the name of their layer."""


def add_adapters(module: nn.Module, rank: int, alpha: float) -> None:
    """Add an adapter that changes nothing yet to each attention and MLP matrix of a module."""
    for linear in _adaptable(module):
        adapter = LowRankAdapter(linear.in_features, linear.out_features, rank, alpha)
        linear.adapter = adapter.to(linear.weight.device, linear.weight.dtype)


def highest_rank(modules: Iterable[nn.Module]) -> int:
    """Return the highest rank that an attention or MLP matrix of these modules can have; 0 where there is none."""
    return max((min(one.in_features, one.out_features) for module in modules for one in _adaptable(module)), default=0)


def add_adapters_like(module: nn.Module, other: nn.Module) -> None:
    """Add adapters where another module of the same layers has them, of the same ranks."""
    for linear, theirs in zip(_adaptable(module), _adaptable(other), strict=True):
        if theirs.adapter is not None:
            rank = len(theirs.adapter.down)
            adapter = LowRankAdapter(linear.in_features, linear.out_features, rank, theirs.adapter.scale * rank)
            linear.adapter = adapter.to(linear.weight.device)


@torch.no_grad()
def merge_adapters(module: nn.Module) -> None:
    """Add the updates of all adapters to the matrices, and remove the adapters."""
    for linear in _adaptable(module):
        if linear.adapter is not None:
            linear.weight.add_(linear.adapter.update())
            linear.adapter = None


def is_of_adapter(name: str) -> bool:
    """Return whether a tensor of that name is a factor of an adapter."""
    return ADAPTER in name


def layer_of_adapter(name: str) -> str:
    """Return the layer that a factor of an adapter belongs to."""
    return name.partition(ADAPTER)[0]


def _adaptable(module: nn.Module) -> Iterator[Linear]:
    for owner in module.modules():
        if isinstance(owner, SelfAttention | CrossAttention | MapHead | Mlp):
            yield from (child for child in owner.children() if isinstance(child, Linear))
