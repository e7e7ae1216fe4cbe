"""How the processes of a run share out the samples of an evaluation, and put their results together again."""

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
    """A process's place among those that evaluate together; by itself the only one."""

    rank: int = 0
    """Which of them it is."""

    world_size: int = 1
    """How many they are."""

    gather_rows: Callable[[Tensor], Tensor] = _as_it_is
    """Concatenates the rows of all processes' tensors in order of rank; they may differ in number."""

    gather_plain: Callable[[list[Any]], list[Any]] = _as_it_is
    """Concatenates the lists of all processes in order of rank; their items are what JSON holds."""

    def own(self, num_samples: int) -> range:
        """Return the samples of this process: a run of neighbors, so that joining keeps the order."""
        return range(self.rank * num_samples // self.world_size, (self.rank + 1) * num_samples // self.world_size)

    def join(self, parts: Sequence[Float[Tensor, "_ columns"]], num_columns: int) -> Float[Tensor, "rows columns"]:
        """Concatenate this process's tensors, of which there may be none, with all others'."""
        return self.gather_rows(torch.cat([torch.empty(0, num_columns), *parts]))

    def join_plain(self, values: Sequence[T]) -> list[T]:
        """Concatenate this process's values with all others'."""
        return self.gather_plain(list(values))


ALONE = Sharding()
"""One process evaluates all samples."""
