"""Attention of few queries to a long memory, without the memory's keys and values."""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


def folded_attention(
    queries: Float[Tensor, "batch length width"],
    memory: Float[Tensor, "batch memory memory_width"],
    transposed: Float[Tensor, "batch memory_width memory"],
    key_weight: Float[Tensor, "width memory_width"],
    value_weight: Float[Tensor, "width memory_width"],
    num_heads: int,
) -> Float[Tensor, "batch length width"]:
    """Return what attention to keys and values of the memory returns: their projections are folded into the queries.

    (W_k m) . q = m . (W_k^T q), and what attention sums up can be projected after the sum. Biases are the caller's:
    that of keys adds the same to all logits of a query, which softmax does not see; that of values can be added to the
    result. ``transposed`` is the memory with features first, laid out so, which many layers share.
    """
    key_weight, value_weight = (weight.unflatten(0, (num_heads, -1)) for weight in (key_weight, value_weight))
    by_head = queries.unflatten(2, (num_heads, -1)) / math.sqrt(queries.shape[2] // num_heads)
    return _FoldedAttention.apply(by_head, memory, transposed, key_weight, value_weight).flatten(2)


class _FoldedAttention(torch.autograd.Function):
    """The same by head. A matrix product per head reads and writes every head's share in place: nothing is copied.

    Autograd would keep twice as much and add up the memory's two gradients in a pass of its own.
    """

    @staticmethod
    def forward(
        ctx: Any, queries: Tensor, memory: Tensor, transposed: Tensor, key_weight: Tensor, value_weight: Tensor
    ) -> Tensor:
        searched = _per_head(queries, key_weight)
        shares = torch.bmm(searched.flatten(1, 2), transposed).softmax(-1)
        found = torch.bmm(shares, memory).view_as(searched)
        ctx.save_for_backward(queries, memory, transposed, key_weight, value_weight, shares, found)
        return _per_head(found, value_weight.mT)

    @staticmethod
    def backward(ctx: Any, toward: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        queries, memory, transposed, key_weight, value_weight, shares, found = ctx.saved_tensors
        needs_queries, needs_memory, _, needs_keys, needs_values = ctx.needs_input_grad
        toward_found = _per_head(toward, value_weight).flatten(1, 2)
        toward_shares = torch.bmm(toward_found, transposed)
        toward_logits = torch.ops.aten._softmax_backward_data(toward_shares, shares, -1, shares.dtype)
        of_queries = of_memory = of_keys = None
        if needs_queries or needs_keys:
            toward_searched = torch.bmm(toward_logits, memory).view_as(found)
            of_queries = _per_head(toward_searched, key_weight.mT) if needs_queries else None
            of_keys = _over_positions(queries, toward_searched) if needs_keys else None
        if needs_memory:
            of_memory = torch.bmm(shares.mT, toward_found)
            # Computed again: it takes a twelfth of all this, and is as large as what is found.
            searched = _per_head(queries, key_weight).flatten(1, 2)
            of_memory.baddbmm_(toward_logits.mT, searched)
        return of_queries, of_memory, None, of_keys, _over_positions(toward, found) if needs_values else None


def _per_head(
    x: Float[Tensor, "batch length heads features"], weight: Float[Tensor, "heads features out_features"]
) -> Float[Tensor, "batch length heads out_features"]:
    """Multiply every head's features by its weights."""
    out = x.new_empty(*x.shape[:3], weight.shape[2])
    torch.bmm(x.flatten(0, 1).transpose(0, 1), weight, out=out.flatten(0, 1).transpose(0, 1))
    return out


def _over_positions(
    left: Float[Tensor, "batch length heads features"], right: Float[Tensor, "batch length heads out_features"]
) -> Float[Tensor, "heads features out_features"]:
    """Sum up, per head, the products of two positions' features over all positions."""
    return torch.bmm(left.flatten(0, 1).permute(1, 2, 0), right.flatten(0, 1).transpose(0, 1))
