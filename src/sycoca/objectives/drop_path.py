"""Drop path: in training an image goes past some blocks, drawn for every image by itself."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sycoca.randomness import derive_generators


def residual_factors(draw_keys: Int[Tensor, " batch"], depth: int, rate: float) -> Float[Tensor, "batch depth 2"]:
    """Return what the attention and the MLP of every block are multiplied by, for every image.

    0 with a probability that grows linearly from nothing at the first block to ``rate`` at the last (stochastic depth,
    arXiv 1603.09382, section 3), else the inverse of the probability to stay, so that the mean is 1. Drawn from an
    image's key alone, on the CPU: the same however batches are cut.
    """
    stays = 1 - torch.linspace(0, rate, depth)[:, None]
    draws = torch.stack(
        [torch.rand(depth, 2, generator=own) for own in derive_generators(draw_keys.tolist(), "drop path")]
    )
    return (draws < stays) / stays
