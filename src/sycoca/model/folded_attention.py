"""Cross-attention of few queries to a long memory, with the key and value projections absorbed into the queries."""

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
    """Return multi-head attention to the memory without computing its keys and values.

    (W_k m) . q = m . (W_k^T q), so the queries absorb the key projection; values are projected after the weighted sum
    (as in multi-head latent attention, arXiv 2405.04434). Biases are left to the caller: the key bias adds the same to
    all logits of a query, which softmax cancels; the value bias can be added to the result. ``transposed`` is the
    memory with features first and contiguous; many layers share it.
    """
    key_weight, value_weight = (weight.unflatten(0, (num_heads, -1)) for weight in (key_weight, value_weight))
    by_head = queries.unflatten(2, (num_heads, -1)) / math.sqrt(queries.shape[2] // num_heads)
    return _FoldedAttention.apply(by_head, memory, transposed, key_weight, value_weight).flatten(2)


class _FoldedAttention(torch.autograd.Function):
    """The same with queries split into heads. One matrix product per head reads and writes in place, without copies.

    Autograd would save twice as much and add the memory's two gradients in a separate pass.
    """

    @staticmethod
    def forward(
        ctx: Any, queries: Tensor, memory: Tensor, transposed: Tensor, key_weight: Tensor, value_weight: Tensor
    ) -> Tensor:
        absorbed = _per_head(queries, key_weight)
        weights = torch.bmm(absorbed.flatten(1, 2), transposed).softmax(-1)
        context = torch.bmm(weights, memory).view_as(absorbed)
        ctx.save_for_backward(queries, memory, transposed, key_weight, value_weight, weights, context)
        return _per_head(context, value_weight.mT)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        queries, memory, transposed, key_weight, value_weight, weights, context = ctx.saved_tensors
        needs_queries, needs_memory, _, needs_keys, needs_values = ctx.needs_input_grad
        grad_context = _per_head(grad_output, value_weight).flatten(1, 2)
        grad_weights = torch.bmm(grad_context, transposed)
        grad_logits = torch.ops.aten._softmax_backward_data(grad_weights, weights, -1, weights.dtype)
        grad_queries = grad_memory = grad_keys = None
        if needs_queries or needs_keys:
            grad_absorbed = torch.bmm(grad_logits, memory).view_as(context)
            grad_queries = _per_head(grad_absorbed, key_weight.mT) if needs_queries else None
            grad_keys = _summed_outer_products(queries, grad_absorbed) if needs_keys else None
        if needs_memory:
            grad_memory = torch.bmm(weights.mT, grad_context)
            # Recomputed: that takes a twelfth of the time, and saving it takes as much memory as the context.
            absorbed = _per_head(queries, key_weight).flatten(1, 2)
            grad_memory.baddbmm_(grad_logits.mT, absorbed)
        grad_values = _summed_outer_products(grad_output, context) if needs_values else None
        return grad_queries, grad_memory, None, grad_keys, grad_values


def _per_head(
    x: Float[Tensor, "batch length heads features"], weight: Float[Tensor, "heads features out_features"]
) -> Float[Tensor, "batch length heads out_features"]:
    """Multiply every head's features by its weight matrix."""
    if torch.compiler.is_compiling():  # which can trace no view as the output, and needs none
        product = torch.bmm(x.flatten(0, 1).transpose(0, 1), weight)
        return product.transpose(0, 1).unflatten(0, x.shape[:2])
    out = x.new_empty(*x.shape[:3], weight.shape[2])
    torch.bmm(x.flatten(0, 1).transpose(0, 1), weight, out=out.flatten(0, 1).transpose(0, 1))
    return out


def _summed_outer_products(
    left: Float[Tensor, "batch length heads features"], right: Float[Tensor, "batch length heads out_features"]
) -> Float[Tensor, "heads features out_features"]:
    """Sum, per head, the outer products of two feature vectors over all positions."""
    return torch.bmm(left.flatten(0, 1).permute(1, 2, 0), right.flatten(0, 1).transpose(0, 1))
