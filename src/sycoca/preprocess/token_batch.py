"""Captions of a batch as one padded tensor. Separate from the tokenizer, which works without importing PyTorch."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from sycoca.preprocess.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenBatch:
    """Captions of a batch, padded on the right to the longest of them."""

    tokens: Int[Tensor, "batch tokens"]
    """Token ids: bos, the caption, eos, then padding."""

    is_padding: Bool[Tensor, "batch tokens"]
    """True where a token is padding."""


def encode_batch(tokenizer: Tokenizer, texts: Sequence[str], context_length: int) -> TokenBatch:
    """Encode captions, truncated to ``context_length`` tokens and padded on the right to the longest of them."""
    return pad_tokens([tokenizer.encode(text, context_length) for text in texts], tokenizer.special.pad_id)


def pad_tokens(sequences: Sequence[Sequence[int]], pad_id: int) -> TokenBatch:
    """Return token id sequences of different lengths as one tensor, padded on the right to the longest."""
    if not sequences:
        raise ValueError("a batch needs at least one caption, got none")
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    is_padding = torch.arange(int(lengths.max())) >= lengths[:, None]
    tokens = torch.full(is_padding.shape, pad_id, dtype=torch.int64)
    tokens[~is_padding] = torch.tensor([token for sequence in sequences for token in sequence], dtype=torch.int64)
    return TokenBatch(tokens=tokens, is_padding=is_padding)
