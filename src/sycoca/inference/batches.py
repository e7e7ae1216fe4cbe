"""Computation over lists of any length, batch by batch; results are on the CPU in float32, one row per item."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def in_batches(compute: Callable[[slice], Tensor], num_items: int, batch_size: int) -> Float[Tensor, "items *shape"]:
    """Return the concatenated results of all batches. Raises ValueError where there are no items."""
    if num_items == 0:
        raise ValueError("the list is empty")
    starts = range(0, num_items, batch_size)
    return torch.cat([compute(slice(start, start + batch_size)).float().cpu() for start in starts])


def in_length_order(
    compute: Callable[[Sequence[Sequence[int]]], Tensor], sequences: Sequence[Sequence[int]], batch_size: int
) -> Float[Tensor, "items *shape"]:
    """Return a row per sequence, computed in batches of similar length, so that there is little padding.

    Rows are in the order of the sequences. Raises ValueError where there are none.
    """
    order = sorted(range(len(sequences)), key=lambda index: len(sequences[index]))
    rows = in_batches(lambda batch: compute([sequences[index] for index in order[batch]]), len(sequences), batch_size)
    return rows[torch.tensor(order).argsort()]
