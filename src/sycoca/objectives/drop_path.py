"""Stochastic depth (drop path): residual branches are dropped at random in training, per image."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sycoca.model.draws import uniform_draws


def residual_factors(
    draw_keys: Int[Tensor, " batch"], depth: int, rate: float, device: torch.device
) -> Float[Tensor, "batch depth 2"]:
    """Return the factors of the attention and MLP branches of every block, per image.

    0 with a probability that grows linearly from 0 at the first block to ``rate`` at the last (stochastic depth, arXiv
    1603.09382, section 3), else the inverse of the survival probability, so that the mean is 1. They are drawn from an
    image's key alone and so do not depend on how batches are split.
    """
    survival = 1 - torch.linspace(0, rate, depth, device=device)[:, None]
    draws = uniform_draws(draw_keys, "drop path", (depth, 2), device)
    return (draws < survival) / survival
