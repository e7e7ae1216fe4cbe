"""The key-value cache of decoding."""

from typing import Protocol, final, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor


@runtime_checkable
class TokenCache(Protocol):
    """Keys and values of the tokens seen so far, for one self-attention layer during decoding."""

    @property
    def num_tokens(self) -> int:
        """Tokens seen so far."""
        ...

    def append(
        self,
        keys: Float[Tensor, "rows heads new features"],
        values: Float[Tensor, "rows heads new features"],
    ) -> tuple[Float[Tensor, "rows heads seen features"], Float[Tensor, "rows heads seen features"]]:
        """Add the keys and values of new tokens; return those of all tokens seen."""
        ...


@final
class KeyValueCache:
    """A preallocated key-value cache.

    Memory for ``max_tokens`` is allocated at once, so a step writes in place instead of copying earlier tokens. Tokens
    are the first axis in memory: those seen are contiguous, and reordering touches no others.
    """

    def __init__(self, max_tokens: int) -> None:
        self.max_tokens = max_tokens
        self.num_tokens = 0
        self._keys: Tensor | None = None
        self._values: Tensor | None = None

    def append(
        self,
        keys: Float[Tensor, "rows heads new features"],
        values: Float[Tensor, "rows heads new features"],
    ) -> tuple[Float[Tensor, "rows heads seen features"], Float[Tensor, "rows heads seen features"]]:
        """Add the keys and values of new tokens; return those of all tokens seen.

        Raises ValueError where more than ``max_tokens`` would be seen.
        """
        rows, heads, num_new, features = keys.shape
        seen = self.num_tokens + num_new
        if seen > self.max_tokens:
            raise ValueError(f"the cache holds {self.max_tokens} tokens, {seen} were given")
        if self._keys is None or self._values is None:
            self._keys = keys.new_empty(self.max_tokens, rows, heads, features)
            self._values = torch.empty_like(self._keys)
        self._keys[self.num_tokens : seen] = keys.permute(2, 0, 1, 3)
        self._values[self.num_tokens : seen] = values.permute(2, 0, 1, 3)
        self.num_tokens = seen
        return self._keys[:seen].permute(1, 2, 0, 3), self._values[:seen].permute(1, 2, 0, 3)

    def reorder(self, rows: Int[Tensor, " rows"]) -> None:
        """Replace row i by row ``rows[i]``, as beam search does; rows that are not listed are dropped."""
        if self._keys is not None and self._values is not None:
            self._keys, self._values = self._reordered(self._keys, rows), self._reordered(self._values, rows)

    def _reordered(
        self, states: Float[Tensor, "max_tokens rows heads features"], rows: Int[Tensor, " kept"]
    ) -> Float[Tensor, "max_tokens kept heads features"]:
        reordered = states.new_empty(self.max_tokens, len(rows), *states.shape[2:])
        torch.index_select(states[: self.num_tokens], 1, rows, out=reordered[: self.num_tokens])
        return reordered
