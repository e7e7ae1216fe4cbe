"""The bytes of a tensor, to write and to hash them."""

import torch
from jaxtyping import Shaped
from torch import Tensor


def tensor_bytes(tensor: Shaped[Tensor, "..."]) -> memoryview:
    """Return the values of a tensor of any type, on any device, as the bytes that a file of them has.

    Where it lies on the CPU and is contiguous, they are its memory: they change with it.
    """
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
