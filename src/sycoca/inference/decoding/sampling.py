"""Sampling of the next token: temperature, top-k and nucleus sampling, with a generator per caption."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampling:
    """How tokens are sampled; every row has its own generator, so that a caption does not depend on its batch."""

    generators: Sequence[torch.Generator]
    """One per row, on the CPU."""

    temperature: float = 1.0
    """Logits are divided by this."""

    top_k: int | None = None
    """Sample among this many most probable tokens."""

    top_p: float | None = None
    """Sample among the most probable tokens that together reach this probability (nucleus, arXiv 1904.09751)."""

    def draw(self, log_probs: Float[Tensor, "rows vocab"], rows: Sequence[int]) -> Int[Tensor, " rows"]:
        """Sample one token for each of ``rows``, the rows that ``log_probs`` belong to."""
        numbers = [torch.rand(1, generator=self.generators[row], dtype=torch.float64) for row in rows]
        return choose_tokens(
            log_probs, torch.cat(numbers), temperature=self.temperature, top_k=self.top_k, top_p=self.top_p
        )


def choose_tokens(
    log_probs: Float[Tensor, "rows vocab"],
    numbers: Float[Tensor, " rows"],
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Int[Tensor, " rows"]:
    """Turn one uniform number in [0, 1) per row into a token, by inverting the cumulative distribution.

    Tokens are sorted by descending probability. The temperature applies first, then ``top_k``, then ``top_p`` to the
    rest; ``top_p`` keeps the fewest tokens that reach it, at least one.
    """
    scaled, order = (log_probs / temperature).sort(dim=-1, descending=True, stable=True)
    if top_k is not None:
        scaled, order = scaled[:, :top_k], order[:, :top_k]
    # In float32 the cumulative sum over 50,000 tokens would end visibly off 1.
    probs = scaled.cpu().double().softmax(-1)
    if top_p is not None:
        probs = probs.masked_fill(probs.cumsum(-1) - probs >= top_p, 0)
    cumulated = probs.cumsum(-1)
    positions = (cumulated <= numbers[:, None] * cumulated[:, -1:]).sum(-1, keepdim=True)
    return order.gather(1, positions.to(order.device)).squeeze(1)
