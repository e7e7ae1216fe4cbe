"""Self- and cross-attention with PyTorch's fused kernel."""

from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from sycoca.model.config import LAYER_NORM_EPS
from sycoca.model.folded_attention import folded_attention
from sycoca.model.key_value_cache import TokenCache
from sycoca.model.linear import Linear
from sycoca.model.packing import Packing
from sycoca.model.products import linear
from sycoca.model.rotary import Rotation
from sycoca.precision import at_least_float32


@final
class SelfAttention(nn.Module):
    """Multi-head self-attention, with the fused projection of open_clip's blocks."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query_key_value = Linear(width, 3 * width)
        self.output = Linear(width, width)

    def forward(
        self,
        x: Float[Tensor, "batch length width"],
        norm: nn.LayerNorm,
        *,
        is_causal: bool,
        cache: TokenCache | None = None,
        packing: Packing | None = None,
        may_attend: Bool[Tensor, "rows 1 positions positions"] | None = None,
        num_queries: int | None = None,
        rotation: Rotation | None = None,
    ) -> Float[Tensor, "batch queries width"]:
        """Normalize x and attend; with ``is_causal`` to the position itself and all before it, the cache included.

        With ``packing`` x holds the packed positions of several rows, which do not attend to one another.
        ``may_attend`` is a mask over the unpacked rows that replaces the causal one. With ``num_queries`` only the last
        that many positions are queries, and the output is that of those alone. ``rotation`` is for rotary positions.
        """
        if num_queries is not None:
            assert not is_causal
            assert packing is None
            assert rotation is None
            return self.output(self._attended_by_last(norm(x), num_queries))
        projected = self.query_key_value.after_norm(norm, x)
        if packing is not None:
            projected = packing.unpack(projected)
        queries, keys, values = (split_heads(part, self.num_heads) for part in projected.chunk(3, -1))
        if rotation is not None:
            queries, keys = rotation(queries), rotation(keys)
        if cache is not None:
            keys, values = cache.append(keys, values)
            # A single new token attends to the whole cache and needs no mask, which would rule out the fused kernel.
            is_causal = is_causal and x.shape[1] > 1
            if is_causal and keys.shape[2] != x.shape[1]:
                raise ValueError("a cache that already holds tokens takes one token at a time")
        attended = attend(queries, keys, values, may_attend, is_causal=is_causal and may_attend is None)
        return self.output(attended if packing is None else packing.pack(attended))

    def _attended_by_last(
        self, x: Float[Tensor, "batch length width"], num_queries: int
    ) -> Float[Tensor, "batch queries width"]:
        if self.query_key_value.int8 is None:
            widths = [x.shape[2], 2 * x.shape[2]]
            weights, biases = self.query_key_value.whole_weight.split(widths), self.query_key_value.bias.split(widths)
            queries = linear(x[:, -num_queries:], weights[0], biases[0])
            keys, values = linear(x, weights[1], biases[1]).chunk(2, -1)
        else:
            queries, keys, values = self.query_key_value(x).chunk(3, -1)
            queries = queries[:, -num_queries:]
        queries, keys, values = (split_heads(part, self.num_heads) for part in (queries, keys, values))
        return attend(queries, keys, values)


@final
class Memory:
    """The memory that several cross-attention layers attend to; computations that they share are done once."""

    def __init__(
        self,
        states: Float[Tensor, "images memory width"],
        may_attend: Bool[Tensor, "images memory"] | None = None,
    ) -> None:
        self.standardized = F.layer_norm(states, states.shape[-1:], eps=LAYER_NORM_EPS)
        """Normalized to mean 0 and variance 1 at every position; every layer has its own scale and shift."""

        self.may_attend = None if may_attend is None else may_attend[:, None, None]
        """False for keys that are padding, or hidden."""

        self._as: tuple[Tensor, Tensor] | None = None

    def standardized_as(
        self, dtype: torch.dtype
    ) -> tuple[Float[Tensor, "images memory width"], Float[Tensor, "images width memory"]]:
        """Return the standardized states in a type, and also with features first, contiguous and without gradient."""
        if self._as is None or self._as[0].dtype != dtype:
            states = self.standardized.to(dtype)
            self._as = states, states.detach().mT.contiguous()
        return self._as

    @property
    def num_images(self) -> int:
        """Number of images in the batch."""
        return self.standardized.shape[0]


@final
class CrossAttention(nn.Module):
    """Multi-head cross-attention to a memory, whose width may differ."""

    def __init__(self, width: int, memory_width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query = Linear(width, width)
        self.key_value = Linear(memory_width, 2 * width)
        self.output = Linear(width, width)

    def forward(
        self,
        x: Float[Tensor, "rows length width"],
        norm: nn.LayerNorm,
        memory: Memory,
        memory_norm: nn.LayerNorm,
        packing: Packing | None = None,
    ) -> Float[Tensor, "rows length width"]:
        """Normalize x and attend to the memory, normalized by ``memory_norm``.

        An image may have several rows, consecutive and the same number for every image: they become further queries of
        the image, whose order does not matter. With ``packing`` x holds the packed positions of such rows.
        """
        queries = self._queries(x, norm, memory.num_images, packing)
        # On other devices the fused kernels are faster; they support heads of 64 features, not a memory's full width.
        if x.device.type == "cpu" and self._folding_saves(queries.shape[1], memory):
            attended = self._folded(queries, memory, memory_norm)
        else:
            attended = self.attend(queries, *self.keys_values(memory, memory_norm), memory.may_attend)
        return self.output(attended.reshape(x.shape) if packing is None else packing.pack(attended))

    def with_keys_values(
        self,
        x: Float[Tensor, "rows length width"],
        norm: nn.LayerNorm,
        keys: Float[Tensor, "images heads memory features"],
        values: Float[Tensor, "images heads memory features"],
    ) -> Float[Tensor, "rows length width"]:
        """Normalize x and attend to precomputed keys and values."""
        attended = self.attend(self._queries(x, norm, keys.shape[0], None), keys, values)
        return self.output(attended.reshape(x.shape))

    def weights(
        self,
        x: Float[Tensor, "rows length width"],
        norm: nn.LayerNorm,
        memory: Memory,
        memory_norm: nn.LayerNorm,
    ) -> Float[Tensor, "rows length memory"]:
        """Return the attention weights of ``forward`` for rows of one image each, the mean over the heads."""
        queries = split_heads(self._queries(x, norm, memory.num_images, None), self.num_heads)
        keys, _ = self.keys_values(memory, memory_norm)
        return attention_weights(queries, keys).mean(1)

    def keys_values(
        self, memory: Memory, norm: nn.LayerNorm
    ) -> tuple[Float[Tensor, "batch heads memory features"], Float[Tensor, "batch heads memory features"]]:
        """Return keys and values of a memory, to compute once and use for many queries."""
        if self.key_value.int8 is None:
            projected = linear(memory.standardized, *self._key_value_after(norm))
        else:
            projected = self.key_value(memory.standardized * norm.weight + norm.bias)
        keys, values = (split_heads(part, self.num_heads) for part in projected.chunk(2, -1))
        return keys, values

    def attend(
        self,
        queries: Float[Tensor, "batch length width"],
        keys: Float[Tensor, "batch heads memory features"],
        values: Float[Tensor, "batch heads memory features"],
        may_attend: Bool[Tensor, "batch 1 1 memory"] | None = None,
    ) -> Float[Tensor, "batch length width"]:
        """Return the attention output for projected queries, before the output projection."""
        return attend(split_heads(queries, self.num_heads), keys, values, may_attend)

    def _queries(
        self, x: Float[Tensor, "rows length width"], norm: nn.LayerNorm, num_images: int, packing: Packing | None
    ) -> Float[Tensor, "images queries width"]:
        queries = self.query.after_norm(norm, x)
        if packing is not None:
            queries = packing.unpack(queries)
        return queries.reshape(num_images, -1, queries.shape[2])

    def _folded(
        self, queries: Float[Tensor, "batch length width"], memory: Memory, norm: nn.LayerNorm
    ) -> Float[Tensor, "batch length width"]:
        weight, bias = self._key_value_after(norm)
        keys, values = weight.to(queries.dtype).chunk(2)
        states, transposed = memory.standardized_as(queries.dtype)
        attended = folded_attention(queries, states, transposed, keys, values, self.num_heads)
        return attended + bias.chunk(2)[1]

    def _key_value_after(
        self, norm: nn.LayerNorm
    ) -> tuple[Float[Tensor, "two_widths memory_width"], Float[Tensor, " two_widths"]]:
        """Return weight and bias with the norm's scale and shift folded in: W (s m + t) + b = (W s) m + (W t + b)."""
        weight = self.key_value.whole_weight
        return weight * norm.weight, F.linear(norm.bias, weight, self.key_value.bias)

    def _folding_saves(self, num_queries: int, memory: Memory) -> bool:
        """Return whether folded attention needs fewer multiplications than projecting all keys and values."""
        if memory.may_attend is not None or self.key_value.int8 is not None:
            return False
        width, memory_width = self.key_value.out_features // 2, self.key_value.in_features
        num_keys = memory.standardized.shape[1]
        folded = num_queries * memory_width * (width + self.num_heads * num_keys)
        projected = num_keys * width * (memory_width + num_queries)
        return folded < projected


def attend(
    queries: Float[Tensor, "batch heads queries features"],
    keys: Float[Tensor, "batch heads keys features"],
    values: Float[Tensor, "batch heads keys features"],
    may_attend: Bool[Tensor, "rows 1 #queries keys"] | None = None,
    *,
    is_causal: bool = False,
) -> Float[Tensor, "batch queries width"]:
    """Return multi-head attention by PyTorch's fused kernel, heads concatenated.

    Its backward pass in half precision takes several times as long as in float32 on CPUs, so that is used for training.
    """
    if queries.device.type != "cpu" or not torch.is_grad_enabled() or torch.compiler.is_compiling():
        return merge_heads(F.scaled_dot_product_attention(queries, keys, values, may_attend, is_causal=is_causal))
    dtype = queries.dtype
    queries, keys, values = (at_least_float32(states) for states in (queries, keys, values))
    with torch.autocast("cpu", enabled=False):
        attended = F.scaled_dot_product_attention(queries, keys, values, may_attend, is_causal=is_causal)
    return merge_heads(attended).to(dtype)


def split_heads(x: Float[Tensor, "batch length width"], num_heads: int) -> Float[Tensor, "batch heads length features"]:
    """Split features into heads."""
    return x.unflatten(-1, (num_heads, -1)).transpose(1, 2)


def merge_heads(x: Float[Tensor, "batch heads length features"]) -> Float[Tensor, "batch length width"]:
    """Concatenate the heads' features."""
    return x.transpose(1, 2).flatten(2)


def attention_weights(
    queries: Float[Tensor, "batch heads queries features"], keys: Float[Tensor, "batch heads keys features"]
) -> Float[Tensor, "batch heads queries keys"]:
    """Return the softmax of scaled dot products, which the fused kernel does not return; in at least float32."""
    products = at_least_float32(queries @ keys.mT) * queries.shape[3] ** -0.5
    return products.softmax(-1)
