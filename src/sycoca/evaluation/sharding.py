"""Sharding of an evaluation over the ranks of a run, and gathering of its results."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

T = TypeVar("T")


def _as_it_is(values: Any) -> Any:
    return values


@dataclass(frozen=True, kw_only=True, slots=True)
class Sharding:
    """Rank and world size of an evaluation; one process by default."""

    rank: int = 0
    """Rank of this process."""

    world_size: int = 1
    """Number of processes."""

    gather_rows: Callable[[Tensor], Tensor] = _as_it_is
    """Concatenates the rows of all ranks' tensors, in order of rank; their numbers may differ."""

    gather_plain: Callable[[list[Any]], list[Any]] = _as_it_is
    """Concatenates the lists of all ranks, in order of rank; items are plain data."""

    def own(self, num_samples: int) -> range:
        """Return this rank's shard: consecutive samples, so that concatenation keeps the order."""
        return range(self.rank * num_samples // self.world_size, (self.rank + 1) * num_samples // self.world_size)

    def join(self, parts: Sequence[Float[Tensor, "_ columns"]], num_columns: int) -> Float[Tensor, "rows columns"]:
        """Concatenate the tensors of all ranks; a rank may have none."""
        return self.gather_rows(torch.cat([torch.empty(0, num_columns), *parts]))

    def join_plain(self, values: Sequence[T]) -> list[T]:
        """Concatenate the values of all ranks."""
        return self.gather_plain(list(values))


ALONE = Sharding()
"""A single process."""
