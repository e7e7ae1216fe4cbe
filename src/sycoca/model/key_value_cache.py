"""The key-value cache of decoding."""

from collections.abc import Mapping
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

    Memory for ``max_tokens`` is allocated at once, so a step writes in place instead of copying earlier tokens. A row
    is contiguous in memory, so that copying it touches no others.
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
            self._keys = keys.new_empty(rows, self.max_tokens, heads, features)
            self._values = torch.empty_like(self._keys)
        self._keys[:, self.num_tokens : seen] = keys.transpose(1, 2)
        self._values[:, self.num_tokens : seen] = values.transpose(1, 2)
        self.num_tokens = seen
        return self._keys[:, :seen].transpose(1, 2), self._values[:, :seen].transpose(1, 2)

    def take_rows(self, rows: Int[Tensor, " rows"]) -> None:
        """Replace row i by row ``rows[i]``; rows that are not listed are dropped."""
        if self._keys is not None and self._values is not None:
            self._keys, self._values = self._taken(self._keys, rows), self._taken(self._values, rows)

    def overwrite_rows(self, sources: Mapping[int, int]) -> None:
        """Overwrite row i by row ``sources[i]``, in place; no row may be both read and overwritten."""
        if self._keys is not None and self._values is not None:
            for states in (self._keys, self._values):
                seen = states[:, : self.num_tokens]
                for row, source in sources.items():
                    seen[row].copy_(seen[source])

    def _taken(
        self, states: Float[Tensor, "rows max_tokens heads features"], rows: Int[Tensor, " kept"]
    ) -> Float[Tensor, "kept max_tokens heads features"]:
        taken = states.new_empty(len(rows), *states.shape[1:])
        torch.index_select(states[:, : self.num_tokens], 0, rows, out=taken[:, : self.num_tokens])
        return taken
