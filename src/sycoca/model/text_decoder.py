"""The text decoder: token states cross-attend to the image and predict the next token."""

from collections.abc import Sequence
from typing import cast, final

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from sycoca.model.attention import Memory
from sycoca.model.config import TextEncoderConfig
from sycoca.model.decoder_configs import TextDecoderConfig
from sycoca.model.key_value_cache import TokenCache
from sycoca.model.linear import Linear
from sycoca.model.packing import Packing
from sycoca.model.transformer import CrossBlock, SelfBlock, init_blocks, layer_norm
from sycoca.precision import at_least_float32

KeysValues = tuple[Float[Tensor, "images heads memory features"], Float[Tensor, "images heads memory features"]]
"""Keys and values of an image's memory in one layer."""


@final
class TextDecoder(nn.Module):
    """The multimodal text layers of a contrastive captioner (CoCa, arXiv 2205.01917, section 3.2).

    A layer is causal self-attention with an MLP and then cross-attention with an MLP, as in open_clip. The
    vocabulary head is not tied to the token embedding.
    """

    def __init__(self, config: TextDecoderConfig, text: TextEncoderConfig, memory_width: int) -> None:
        super().__init__()
        width, depth, num_heads = text.width, config.depth, config.num_heads
        self.width, self.depth, self.num_heads = width, depth, num_heads
        self.self_blocks = nn.ModuleList(SelfBlock(width, num_heads, text.activation) for _ in range(depth))
        self.cross_blocks = nn.ModuleList(
            CrossBlock(width, memory_width, num_heads, text.activation) for _ in range(depth)
        )
        self.norm_final = layer_norm(width)
        self.vocabulary = Linear(width, text.vocab_size, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize the blocks as CLIP does, the head normal with std width^-1/2."""
        # A layer has two blocks, and both add to the residual stream.
        init_blocks(self.self_blocks, self.width, 2 * self.depth)
        init_blocks(self.cross_blocks, self.width, 2 * self.depth)
        nn.init.normal_(self.vocabulary.weight, std=self.width**-0.5)

    def forward(
        self,
        token_states: Float[Tensor, "rows tokens width"],
        memory: Float[Tensor, "images memory memory_width"],
        packing: Packing | None = None,
        may_attend: Bool[Tensor, "images memory"] | None = None,
    ) -> Float[Tensor, "rows tokens width"]:
        """Return normalized states; ``logits`` turns them into logits of the next token.

        Images may have several rows, the same number for each: see ``decode_step``. With ``packing`` the states of
        padding, which must be on the right, are not computed and have no meaning. ``may_attend`` is False for memory
        that an image's rows may not attend to.
        """
        x = token_states if packing is None else packing.pack(token_states)
        shared_memory = Memory(memory, may_attend)
        for self_block, cross_block in self._layers():
            x = self_block(x, is_causal=True, packing=packing)
            x = cross_block(x, shared_memory, packing=packing)
        x = self.norm_final(x)
        return x if packing is None else packing.unpack(x)

    def attention_weights(
        self, token_states: Float[Tensor, "rows tokens width"], memory: Float[Tensor, "rows memory memory_width"]
    ) -> Float[Tensor, "layers rows tokens memory"]:
        """Return how much every token attends to every position of the memory, by layer: the mean over the heads."""
        x, shared_memory, layers = token_states, Memory(memory), []
        for self_block, cross_block in self._layers():
            x = self_block(x, is_causal=True)
            layers.append(cross_block.attention_weights(x, shared_memory))
            x = cross_block(x, shared_memory)
        return torch.stack(layers)

    def keys_values(self, memory: Float[Tensor, "images memory memory_width"]) -> list[KeysValues]:
        """Return every layer's keys and values of the memory, to be computed once per image."""
        shared_memory = Memory(memory)
        layers = [cross_block.keys_values(shared_memory) for _, cross_block in self._layers()]
        # Every step reads them all; if each head's are contiguous, that takes two thirds of the time.
        return [(keys.contiguous(), values.contiguous()) for keys, values in layers]

    def decode_step(
        self,
        token_states: Float[Tensor, "rows new width"],
        caches: Sequence[TokenCache],
        memory: Sequence[KeysValues],
    ) -> Float[Tensor, "rows width"]:
        """Return the normalized state of the last new token of every row.

        Rows are image-major: those of one image are consecutive and share its keys and values, as if they were
        further queries of one sequence (cross-attention does not depend on the order of queries).
        """
        x = token_states
        for (self_block, cross_block), cache, keys_values in zip(self._layers(), caches, memory, strict=True):
            x = self_block(x, is_causal=True, cache=cache)
            x = cross_block.with_keys_values(x, *keys_values)
        return self.norm_final(x[:, -1])

    def logits(self, states: Float[Tensor, "*rows width"]) -> Float[Tensor, "*rows vocab"]:
        """Return the next token's logits, in at least float32."""
        return at_least_float32(self.vocabulary(states))

    def _layers(self) -> list[tuple[SelfBlock, CrossBlock]]:
        pairs = zip(self.self_blocks, self.cross_blocks, strict=True)
        return cast("list[tuple[SelfBlock, CrossBlock]]", list(pairs))
