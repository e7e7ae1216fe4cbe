"""Computation over lists of any length, batch by batch; results are on the CPU in float32, one row per item."""

from collections.abc import Callable, Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def joined_rows(parts: Iterable[Tensor], row_shape: tuple[int, ...]) -> Float[Tensor, "items *shape"]:
    """Return the rows of all batches in one tensor; ``row_shape`` is that of a row, for no batches at all."""
    found = [part.float().cpu() for part in parts]
    return torch.cat(found) if found else torch.zeros(0, *row_shape)


def in_length_order(
    compute: Callable[[Sequence[Sequence[int]]], Tensor],
    sequences: Sequence[Sequence[int]],
    batch_size: int,
    row_shape: tuple[int, ...] = (),
) -> Float[Tensor, "items *shape"]:
    """Return a row per sequence, computed in batches of similar length, so that there is little padding.

    Rows are in the order of the sequences; ``row_shape`` is that of a row, for no sequences at all.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    order = sorted(range(len(sequences)), key=lambda index: len(sequences[index]))
    starts = range(0, len(order), batch_size)
    parts = (compute([sequences[index] for index in order[start : start + batch_size]]) for start in starts)
    rows = joined_rows(parts, row_shape)
    return rows[torch.tensor(order, dtype=torch.long).argsort()]
