"""Drawing the next token at random, one source of randomness per caption."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampling:
    """How tokens are drawn, and each row's own generator, so that a caption does not depend on its batch."""

    generators: Sequence[torch.Generator]
    """One per row, on the CPU."""

    temperature: float = 1.0
    """Logits are divided by this."""

    top_k: int | None = None
    """Draw among this many likeliest tokens."""

    top_p: float | None = None
    """Draw among the likeliest tokens that together reach this probability (nucleus sampling, arXiv 1904.09751)."""

    def draw(self, log_probs: Float[Tensor, "rows vocab"], rows: Sequence[int]) -> Int[Tensor, " rows"]:
        """Draw one token for each of ``rows``, the rows that ``log_probs`` belong to."""
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

    Tokens are ordered from the likeliest down. First the temperature applies, then ``top_k``, then ``top_p`` to what is
    left; ``top_p`` keeps the fewest tokens that reach it, so at least one.
    """
    scaled, order = (log_probs / temperature).sort(dim=-1, descending=True, stable=True)
    if top_k is not None:
        scaled, order = scaled[:, :top_k], order[:, :top_k]
    # Single precision would leave the last of 50,000 cumulated probabilities visibly off 1.
    probs = scaled.cpu().double().softmax(-1)
    if top_p is not None:
        probs = probs.masked_fill(probs.cumsum(-1) - probs >= top_p, 0)
    cumulated = probs.cumsum(-1)
    positions = (cumulated <= numbers[:, None] * cumulated[:, -1:]).sum(-1, keepdim=True)
    return order.gather(1, positions.to(order.device)).squeeze(1)
