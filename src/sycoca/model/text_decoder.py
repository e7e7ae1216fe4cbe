"""The text decoder: token states look at the image and predict the next token."""

from collections.abc import Sequence
from typing import cast, final

from jaxtyping import Bool, Float
from torch import Tensor, nn

from sycoca.model.attention import Memory, TokenCache
from sycoca.model.config import TextDecoderConfig, TextEncoderConfig
from sycoca.model.linear import Linear
from sycoca.model.packing import Packing
from sycoca.model.transformer import CrossBlock, SelfBlock, init_blocks, layer_norm
from sycoca.precision import at_least_float32

KeysValues = tuple[Float[Tensor, "images heads memory features"], Float[Tensor, "images heads memory features"]]
"""Keys and values of an image's memory in one layer."""


@final
class TextDecoder(nn.Module):
    """The multimodal half of a contrastive captioner's text side (CoCa, arXiv 2205.01917, section 3.2).

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
        # A layer adds to the residual stream as often as two blocks do.
        init_blocks(self.self_blocks, self.width, 2 * self.depth)
        init_blocks(self.cross_blocks, self.width, 2 * self.depth)
        nn.init.normal_(self.vocabulary.weight, std=self.width**-0.5)

    def forward(
        self,
        token_states: Float[Tensor, "rows tokens width"],
        memory: Float[Tensor, "images memory memory_width"],
        is_padding: Bool[Tensor, "rows tokens"] | None = None,
    ) -> Float[Tensor, "rows tokens width"]:
        """Return normed states; ``vocabulary`` turns them into logits of the next token.

        Images may have several rows each, as many as one another: see ``decode_step``. Padding, where there is some,
        is on the right; its states are filler.
        """
        packing = None if is_padding is None else Packing(~is_padding)
        x = token_states if packing is None else packing.pack(token_states)
        looked_at = Memory(memory)
        for self_block, cross_block in self._layers():
            x = self_block(x, is_causal=True, packing=packing)
            x = cross_block(x, looked_at, packing=packing)
        x = self.norm_final(x)
        return x if packing is None else packing.unpack(x)

    def keys_values(self, memory: Float[Tensor, "images memory memory_width"]) -> list[KeysValues]:
        """Return every layer's keys and values of the memory, to be computed once per image."""
        looked_at = Memory(memory)
        found = [cross_block.keys_values(looked_at) for _, cross_block in self._layers()]
        # Every step reads them all: side by side in memory, a head's keys take two thirds of the time.
        return [(keys.contiguous(), values.contiguous()) for keys, values in found]

    def decode_step(
        self,
        token_states: Float[Tensor, "rows new width"],
        caches: Sequence[TokenCache],
        memory: Sequence[KeysValues],
    ) -> Float[Tensor, "rows width"]:
        """Return the normed state of the last new token of every row.

        Rows are image-major: those of one image lie side by side and share its keys and values, as if they were
        further queries of one sequence (cross-attention has no order among queries).
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
