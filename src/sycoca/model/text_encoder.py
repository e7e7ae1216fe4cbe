"""The text encoder: a transformer, causal but for one pooling, from token ids to token states and a global feature."""

from collections.abc import Sequence
from typing import assert_never, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from sycoca.model.config import TextEncoderConfig
from sycoca.model.key_value_cache import TokenCache
from sycoca.model.packing import Packing
from sycoca.model.transformer import SelfBlock, init_blocks, layer_norm

SHIFTED_MASK_PAD_ID = 0
"""Padding id of open_clip's CoCa: with its shifted mask [CLS] attends to one such token after the caption."""


@final
class TextEncoder(nn.Module):
    """The unimodal text layers of a contrastive captioner (CoCa, arXiv 2205.01917, section 3.2).

    [CLS] directly follows a caption's last real token, so that with causal attention it attends to all of them and
    none of them to it; no mask is built. Its position embedding is always the last one, whatever the caption's
    length, so a caption's embedding does not depend on its batch. ``cls_mask`` and ``cls_position`` are for open_clip
    models that were trained differently.
    """

    def __init__(self, config: TextEncoderConfig, embed_dim: int) -> None:
        super().__init__()
        self.config = config
        has_cls = config.has_cls_token
        self.token_embedding = nn.Embedding(config.vocab_size, config.width)
        self.positions = nn.Parameter(torch.empty(config.context_length + has_cls, config.width))
        self.cls_token = nn.Parameter(torch.empty(config.width)) if has_cls else None
        self.blocks = nn.ModuleList(
            SelfBlock(
                config.width, config.num_heads, config.activation, mlp_width=config.mlp_width, norm_eps=config.norm_eps
            )
            for _ in range(config.depth)
        )
        self.norm_final = layer_norm(config.width, config.norm_eps)
        self.projection = nn.Linear(config.width, embed_dim, bias=config.has_projection_bias)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize as CLIP does: token embeddings normal with std 0.02, positions and [CLS] 0.01."""
        init_blocks(self.blocks, self.config.width, self.config.depth)
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.positions, std=0.01)
        if self.cls_token is not None:
            nn.init.normal_(self.cls_token, std=0.01)
        nn.init.normal_(self.projection.weight, std=self.config.width**-0.5)
        if self.config.has_projection_bias:
            nn.init.zeros_(self.projection.bias)

    def forward(
        self,
        tokens: Int[Tensor, "batch tokens"],
        is_padding: Bool[Tensor, "batch tokens"],
        *,
        is_packed: bool = True,
        num_tokens: int | None = None,
    ) -> tuple[Float[Tensor, "batch tokens width"], Float[Tensor, "batch embed"]]:
        """Return token states before the final norm, and the caption's vector in the joint space, not normalized.

        Padding must be on the right; states of padding have no meaning. ``is_packed`` skips padding, with shapes that
        depend on the captions' lengths, which exported graphs do not allow; with ``num_tokens``, the number of tokens
        that are no padding, the host does not wait for a GPU to count them. Raises ValueError for captions longer than
        the context.
        """
        length, is_causal = tokens.shape[1], self.config.form.is_causal
        x = self._embed(tokens if is_causal else self._whole_context(tokens, is_padding), start=0)
        lengths = (~is_padding).sum(dim=1)
        last, may_attend = lengths - 1, None
        if self.cls_token is not None:
            x, last, may_attend = self._with_cls(x, lengths)
        packing = _packing(lengths, length, x.shape[1], num_tokens) if is_packed and is_causal else None
        x = x if packing is None else packing.pack(x)
        for block in self.blocks:
            x = block(x, is_causal=is_causal, packing=packing, may_attend=may_attend)
        x = x if packing is None else packing.unpack(x)
        return x[:, :length], self.projection(self._pool(x, is_padding, last))

    def project_tokens(self, token_states: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens embed"]:
        """Project every token into the joint space by itself, not yet normalized."""
        return self.projection(self.norm_final(token_states))

    def decode_step(
        self, tokens: Int[Tensor, "rows new"], caches: Sequence[TokenCache]
    ) -> Float[Tensor, "rows new width"]:
        """Return the states of new tokens that follow those in the caches (one cache per block)."""
        x = self._embed(tokens, start=caches[0].num_tokens)
        for block, cache in zip(self.blocks, caches, strict=True):
            x = block(x, is_causal=True, cache=cache)
        return x

    def _whole_context(
        self, tokens: Int[Tensor, "batch tokens"], is_padding: Bool[Tensor, "batch tokens"]
    ) -> Int[Tensor, "batch context"]:
        """Return rows that are padded to the whole context."""
        num_missing, pad_id = self.config.context_length - tokens.shape[1], self.config.pad_id
        return F.pad(tokens.masked_fill(is_padding, pad_id), (0, num_missing), value=pad_id)

    def _embed(self, tokens: Int[Tensor, "rows new"], start: int) -> Float[Tensor, "rows new width"]:
        stop = start + tokens.shape[1]
        if stop > self.config.context_length:
            raise ValueError(f"captions have at most {self.config.context_length} tokens, got {stop}")
        return self.token_embedding(tokens) + self.positions[start:stop]

    def _with_cls(
        self, x: Float[Tensor, "batch tokens width"], lengths: Int[Tensor, " batch"]
    ) -> tuple[
        Float[Tensor, "batch tokens_and_cls width"],
        Int[Tensor, " batch"],
        Bool[Tensor, "batch 1 tokens_and_cls tokens_and_cls"] | None,
    ]:
        """Insert [CLS] after each caption; return also its positions, and a mask unless causal attention suffices."""
        assert self.cls_token is not None
        row_end = self._row_end(x.shape[1])
        cls = self.cls_token + self.positions[row_end]
        match self.config.cls_mask:
            case "correct":
                return _inserted(cls, _extended(x, 1), lengths), lengths, None
            case "shifted":
                return self._with_shifted_mask(x, cls, lengths, row_end)
            case unknown:
                assert_never(unknown)

    def _row_end(self, length: int) -> int:
        """Return the position of [CLS], given the length of the rows."""
        match self.config.cls_position:
            case "last":
                return self.config.context_length
            case "row_end":
                return length
            case unknown:
                assert_never(unknown)

    def _with_shifted_mask(
        self,
        x: Float[Tensor, "batch tokens width"],
        cls: Float[Tensor, " width"],
        lengths: Int[Tensor, " batch"],
        row_end: int,
    ) -> tuple[
        Float[Tensor, "batch tokens_and_cls width"],
        Int[Tensor, " batch"],
        Bool[Tensor, "batch 1 tokens_and_cls tokens_and_cls"],
    ]:
        has_padding = lengths < row_end
        cls_positions = lengths + has_padding
        # Where there is no padding, [CLS] overwrites it.
        padding = self.token_embedding.weight[SHIFTED_MASK_PAD_ID] + self.positions[lengths].unsqueeze(1)
        x = _inserted(cls, _inserted(padding, _extended(x, 2), lengths), cls_positions)
        hides_itself = _is_at(cls_positions, x.shape[1]) & has_padding.unsqueeze(1)
        is_causal = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril()
        return x, cls_positions, (is_causal & ~hides_itself.unsqueeze(1)).unsqueeze(1)

    def _pool(
        self,
        x: Float[Tensor, "batch length width"],
        is_padding: Bool[Tensor, "batch tokens"],
        last: Int[Tensor, " batch"],
    ) -> Float[Tensor, "batch width"]:
        match self.config.pooling:
            case "cls" | "eos":
                return self.norm_final(x[torch.arange(x.shape[0], device=x.device), last])
            case "mean":
                states = self.norm_final(x).masked_fill(is_padding.unsqueeze(-1), 0)
                return states.sum(dim=1) / (last + 1).unsqueeze(1)
            case "last":
                return self.norm_final(x[:, -1])
            case unknown:
                assert_never(unknown)


def _packing(lengths: Int[Tensor, " batch"], num_positions: int, num_extended: int, num_tokens: int | None) -> Packing:
    """Return the positions of tokens and of what was inserted after them: the same number of positions in every row."""
    num_inserted = num_extended - num_positions
    is_real = torch.arange(num_extended, device=lengths.device) < (lengths + num_inserted).unsqueeze(1)
    return Packing(is_real, None if num_tokens is None else num_tokens + len(lengths) * num_inserted)


def _extended(x: Float[Tensor, "batch length width"], num_more: int) -> Float[Tensor, "batch longer width"]:
    return torch.cat([x, x.new_zeros(x.shape[0], num_more, x.shape[2])], dim=1)


def _inserted(
    state: Float[Tensor, "*batch_1 width"], x: Float[Tensor, "batch length width"], positions: Int[Tensor, " batch"]
) -> Float[Tensor, "batch length width"]:
    """Return x with ``state`` at one position of every row."""
    return torch.where(_is_at(positions, x.shape[1]).unsqueeze(-1), state, x)


def _is_at(positions: Int[Tensor, " batch"], length: int) -> Bool[Tensor, "batch length"]:
    return torch.arange(length, device=positions.device) == positions.unsqueeze(1)
