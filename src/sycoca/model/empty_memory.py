"""The text decoder's memory of no image, from which it says how probable a caption is by itself."""

import torch
from jaxtyping import Float
from torch import Tensor


def empty_memory(memory: Float[Tensor, "images memory width"]) -> Float[Tensor, "images memory width"]:
    """Return the memory that stands for no image, of the same shape: zeros.

    Every layer normalizes them to its own bias, so that cross-attention adds the same learned vector to every token of
    every caption. It needs no parameters, so weights of every origin have it.
    """
    return torch.zeros_like(memory)
