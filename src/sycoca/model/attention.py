"""Self- and cross-attention over one kernel call, and the cache that makes decoding cheap."""

from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn


@final
class KeyValueCache:
    """Keys and values of the tokens seen so far, for one self-attention of one decoding run.

    Room for ``max_tokens`` is taken at once, so a step writes in place instead of copying what came before.
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
            self._keys = keys.new_empty(rows, heads, self.max_tokens, features)
            self._values = torch.empty_like(self._keys)
        self._keys[:, :, self.num_tokens : seen] = keys
        self._values[:, :, self.num_tokens : seen] = values
        self.num_tokens = seen
        return self._keys[:, :, :seen], self._values[:, :, :seen]

    def reorder(self, rows: Int[Tensor, " rows"]) -> None:
        """Let row i go on from what row ``rows[i]`` has seen; also drops rows that are not named."""
        if self._keys is not None and self._values is not None:
            self._keys = self._keys.index_select(0, rows)
            self._values = self._values.index_select(0, rows)


@final
class SelfAttention(nn.Module):
    """Multi-head attention of a sequence to itself, with the fused projection of open_clip's blocks."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query_key_value = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)

    def forward(
        self, x: Float[Tensor, "batch length width"], *, is_causal: bool, cache: KeyValueCache | None = None
    ) -> Float[Tensor, "batch length width"]:
        """Attend; with ``is_causal`` a position sees itself and what lies before it, the cache included."""
        queries, keys, values = (split_heads(part, self.num_heads) for part in self.query_key_value(x).chunk(3, -1))
        if cache is not None:
            keys, values = cache.append(keys, values)
            # One new token may see all that the cache holds: without a mask the kernel stays the fused one.
            is_causal = is_causal and x.shape[1] > 1
            if is_causal and keys.shape[2] != x.shape[1]:
                raise ValueError("a cache that has begun takes one token at a time")
        attended = F.scaled_dot_product_attention(queries, keys, values, is_causal=is_causal)
        return self.output(merge_heads(attended))


@final
class CrossAttention(nn.Module):
    """Multi-head attention of a sequence to a memory, which may have a width of its own."""

    def __init__(self, width: int, memory_width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(memory_width, 2 * width)
        self.output = nn.Linear(width, width)

    def keys_values(
        self, memory: Float[Tensor, "batch memory memory_width"]
    ) -> tuple[Float[Tensor, "batch heads memory features"], Float[Tensor, "batch heads memory features"]]:
        """Return keys and values of a memory, to be computed once and used for many queries."""
        keys, values = (split_heads(part, self.num_heads) for part in self.key_value(memory).chunk(2, -1))
        return keys, values

    def forward(
        self,
        x: Float[Tensor, "batch length width"],
        keys: Float[Tensor, "batch heads memory features"],
        values: Float[Tensor, "batch heads memory features"],
        may_attend: Bool[Tensor, "batch 1 1 memory"] | None = None,
    ) -> Float[Tensor, "batch length width"]:
        """Attend to the memory; ``may_attend`` is False for keys that are filler."""
        queries = split_heads(self.query(x), self.num_heads)
        attended = F.scaled_dot_product_attention(queries, keys, values, attn_mask=may_attend)
        return self.output(merge_heads(attended))


def split_heads(x: Float[Tensor, "batch length width"], num_heads: int) -> Float[Tensor, "batch heads length features"]:
    """Cut features into heads."""
    return x.unflatten(-1, (num_heads, -1)).transpose(1, 2)


def merge_heads(x: Float[Tensor, "batch heads length features"]) -> Float[Tensor, "batch length width"]:
    """Join the heads' features again."""
    return x.transpose(1, 2).flatten(2)
