"""Self- and cross-attention over one kernel call, and the cache that makes decoding cheap."""

from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from sycoca.model.linear import Linear
from sycoca.model.packing import Packing


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
        self.query_key_value = Linear(width, 3 * width)
        self.output = Linear(width, width)

    def forward(
        self,
        x: Float[Tensor, "batch length width"],
        *,
        is_causal: bool,
        cache: KeyValueCache | None = None,
        packing: Packing | None = None,
    ) -> Float[Tensor, "batch length width"]:
        """Attend; with ``is_causal`` a position sees itself and what lies before it, the cache included.

        With ``packing`` x holds the real positions of several rows, which do not see one another.
        """
        projected = self.query_key_value(x)
        if packing is not None:
            projected = packing.unpack(projected)
        queries, keys, values = (split_heads(part, self.num_heads) for part in projected.chunk(3, -1))
        if cache is not None:
            keys, values = cache.append(keys, values)
            # One new token may see all that the cache holds: without a mask the kernel stays the fused one.
            is_causal = is_causal and x.shape[1] > 1
            if is_causal and keys.shape[2] != x.shape[1]:
                raise ValueError("a cache that has begun takes one token at a time")
        attended = merge_heads(F.scaled_dot_product_attention(queries, keys, values, is_causal=is_causal))
        return self.output(attended if packing is None else packing.pack(attended))


@final
class CrossAttention(nn.Module):
    """Multi-head attention of a sequence to a memory, which may have a width of its own."""

    def __init__(self, width: int, memory_width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query = Linear(width, width)
        self.key_value = Linear(memory_width, 2 * width)
        self.output = Linear(width, width)

    def forward(
        self,
        x: Float[Tensor, "rows length width"],
        memory: Float[Tensor, "images memory memory_width"],
        may_attend: Bool[Tensor, "images 1 1 memory"] | None = None,
        packing: Packing | None = None,
    ) -> Float[Tensor, "rows length width"]:
        """Attend to the memory; ``may_attend`` is False for keys that are filler.

        An image may have several rows, side by side and as many as another one has: there is no order among queries,
        so they are further queries of the image. With ``packing`` x holds the real positions of such rows.
        """
        queries = self._queries(x, len(memory), packing)
        # Elsewhere than on CPUs the fused kernels win, which take heads of 64 features and not a memory's whole width.
        if x.device.type == "cpu" and may_attend is None and self._folding_saves(queries.shape[1], memory.shape[1]):
            attended = self._folded(queries, memory)
        else:
            attended = self.attend(queries, *self.keys_values(memory), may_attend)
        return self.output(attended.reshape(x.shape) if packing is None else packing.pack(attended))

    def with_keys_values(
        self,
        x: Float[Tensor, "rows length width"],
        keys: Float[Tensor, "images heads memory features"],
        values: Float[Tensor, "images heads memory features"],
    ) -> Float[Tensor, "rows length width"]:
        """Attend to a memory whose keys and values are known."""
        attended = self.attend(self._queries(x, len(keys), None), keys, values)
        return self.output(attended.reshape(x.shape))

    def keys_values(
        self, memory: Float[Tensor, "batch memory memory_width"]
    ) -> tuple[Float[Tensor, "batch heads memory features"], Float[Tensor, "batch heads memory features"]]:
        """Return keys and values of a memory, to be computed once and used for many queries."""
        keys, values = (split_heads(part, self.num_heads) for part in self.key_value(memory).chunk(2, -1))
        return keys, values

    def attend(
        self,
        queries: Float[Tensor, "batch length width"],
        keys: Float[Tensor, "batch heads memory features"],
        values: Float[Tensor, "batch heads memory features"],
        may_attend: Bool[Tensor, "batch 1 1 memory"] | None = None,
    ) -> Float[Tensor, "batch length width"]:
        """Return what projected queries find, before it is projected itself."""
        queries = split_heads(queries, self.num_heads)
        return merge_heads(F.scaled_dot_product_attention(queries, keys, values, attn_mask=may_attend))

    def _queries(
        self, x: Float[Tensor, "rows length width"], num_images: int, packing: Packing | None
    ) -> Float[Tensor, "images queries width"]:
        queries = self.query(x)
        if packing is not None:
            queries = packing.unpack(queries)
        return queries.reshape(num_images, -1, queries.shape[2])

    def _folded(
        self,
        queries: Float[Tensor, "batch length width"],
        memory: Float[Tensor, "batch memory memory_width"],
    ) -> Float[Tensor, "batch length width"]:
        """Return the same as `attend`, without keys and values: queries take the keys' projection, results the values'.

        (W_k m) . q = m . (W_k^T q), and what attention sums up can be projected after the sum. The bias of keys adds
        the same to all logits of a query, which softmax does not see; that of values is added once.
        """
        batch, length, _ = queries.shape
        key_weight, value_weight = self.key_value.weight.unflatten(0, (2, self.num_heads, -1)).unbind(0)
        by_head = queries.unflatten(-1, (self.num_heads, -1)).flatten(0, 1).transpose(0, 1)
        searched = torch.bmm(by_head * by_head.shape[-1] ** -0.5, key_weight)
        shares = torch.bmm(_swapped(searched, batch), memory.mT).softmax(-1)
        found = torch.bmm(shares, memory)
        values = torch.bmm(_swapped(found, self.num_heads), value_weight.mT).transpose(0, 1).flatten(1)
        return (values + self.key_value.bias.chunk(2)[1]).unflatten(0, (batch, length))

    def _folding_saves(self, num_queries: int, num_keys: int) -> bool:
        """Return whether few queries, folded, cost fewer multiplications than many keys and values projected."""
        width, memory_width = self.key_value.out_features // 2, self.key_value.in_features
        folded = num_queries * memory_width * (width + self.num_heads * num_keys)
        projected = num_keys * width * (memory_width + num_queries)
        return folded < projected


def _swapped(x: Float[Tensor, "outer rest width"], inner: int) -> Float[Tensor, "inner new_rest width"]:
    """Turn (heads, images x length, width) into (images, heads x length, width), or back."""
    return x.unflatten(1, (inner, -1)).transpose(0, 1).flatten(1, 2)


def split_heads(x: Float[Tensor, "batch length width"], num_heads: int) -> Float[Tensor, "batch heads length features"]:
    """Cut features into heads."""
    return x.unflatten(-1, (num_heads, -1)).transpose(1, 2)


def merge_heads(x: Float[Tensor, "batch heads length features"]) -> Float[Tensor, "batch length width"]:
    """Join the heads' features again."""
    return x.transpose(1, 2).flatten(2)
