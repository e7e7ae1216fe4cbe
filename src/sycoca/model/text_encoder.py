"""The text encoder: a causal transformer from token ids to token states and one global feature."""

from typing import final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from sycoca.model.attention import KeyValueCache
from sycoca.model.config import TextEncoderConfig
from sycoca.model.packing import Packing
from sycoca.model.transformer import SelfBlock, init_blocks, layer_norm


@final
class TextEncoder(nn.Module):
    """The unimodal half of a contrastive captioner's text side (CoCa, arXiv 2205.01917, section 3.2).

    The [CLS] token lies right behind a caption's last real token, so that the causal flag alone lets it see all
    of them and lets none of them see it: no mask is ever built. Its position embedding is always the last one,
    whatever the caption's length, so a caption's embedding does not depend on its batch.
    """

    def __init__(self, config: TextEncoderConfig, embed_dim: int) -> None:
        super().__init__()
        self.config = config
        has_cls = config.pooling == "cls"
        self.token_embedding = nn.Embedding(config.vocab_size, config.width)
        self.positions = nn.Parameter(torch.empty(config.context_length + has_cls, config.width))
        self.cls_token = nn.Parameter(torch.empty(config.width)) if has_cls else None
        self.blocks = nn.ModuleList(SelfBlock(config.width, config.num_heads) for _ in range(config.depth))
        self.norm_final = layer_norm(config.width)
        self.projection = nn.Linear(config.width, embed_dim, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize as CLIP does: tokens normal with std 0.02, positions and [CLS] 0.01."""
        init_blocks(self.blocks, self.config.width, self.config.depth)
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.positions, std=0.01)
        if self.cls_token is not None:
            nn.init.normal_(self.cls_token, std=0.01)
        nn.init.normal_(self.projection.weight, std=self.config.width**-0.5)

    def forward(
        self, tokens: Int[Tensor, "batch tokens"], is_padding: Bool[Tensor, "batch tokens"]
    ) -> tuple[Float[Tensor, "batch tokens width"], Float[Tensor, "batch embed"]]:
        """Return token states before the final norm, and the caption's vector in the joint space, not normalized.

        Padding must be on the right. States of padding are filler. Raises ValueError for captions longer than the
        context.
        """
        x = self._embed(tokens, start=0)
        lengths = (~is_padding).sum(dim=1)
        ends = lengths
        if self.cls_token is not None:
            x, ends = self._with_cls(x, lengths), lengths + 1
        packing = Packing(torch.arange(x.shape[1], device=x.device) < ends.unsqueeze(1))
        x = packing.pack(x)
        for block in self.blocks:
            x = block(x, is_causal=True, packing=packing)
        x = packing.unpack(x)
        return x[:, : tokens.shape[1]], self.projection(self._pool(x, is_padding, lengths))

    def project_tokens(self, token_states: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens embed"]:
        """Put every token into the joint space by itself, not yet normalized."""
        return self.projection(self.norm_final(token_states))

    def decode_step(
        self, tokens: Int[Tensor, "rows new"], caches: list[KeyValueCache]
    ) -> Float[Tensor, "rows new width"]:
        """Return the states of new tokens that follow those in the caches (one cache per block)."""
        x = self._embed(tokens, start=caches[0].num_tokens)
        for block, cache in zip(self.blocks, caches, strict=True):
            x = block(x, is_causal=True, cache=cache)
        return x

    def _embed(self, tokens: Int[Tensor, "rows new"], start: int) -> Float[Tensor, "rows new width"]:
        stop = start + tokens.shape[1]
        if stop > self.config.context_length:
            raise ValueError(f"captions have at most {self.config.context_length} tokens, got {stop}")
        return self.token_embedding(tokens) + self.positions[start:stop]

    def _with_cls(
        self, x: Float[Tensor, "batch tokens width"], lengths: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch tokens_and_cls width"]:
        assert self.cls_token is not None
        cls = self.cls_token + self.positions[-1]
        is_cls = torch.arange(x.shape[1] + 1, device=x.device) == lengths.unsqueeze(1)
        room = torch.cat([x, x.new_zeros(len(x), 1, x.shape[2])], dim=1)
        return torch.where(is_cls.unsqueeze(-1), cls, room)

    def _pool(
        self,
        x: Float[Tensor, "batch length width"],
        is_padding: Bool[Tensor, "batch tokens"],
        lengths: Int[Tensor, " batch"],
    ) -> Float[Tensor, "batch width"]:
        if self.cls_token is not None:
            return self.norm_final(x[torch.arange(len(x), device=x.device), lengths])
        states = self.norm_final(x).masked_fill(is_padding.unsqueeze(-1), 0)
        return states.sum(dim=1) / lengths.unsqueeze(1)
