"""Random numbers per sample, drawn on the CPU from the sample's key and copied to the model's device."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sycoca.device_copies import copied_to
from sycoca.randomness import derive_generators


def uniform_draws(
    draw_keys: Int[Tensor, " batch"], purpose: str, shape: Sequence[int], device: torch.device
) -> Float[Tensor, "batch ..."]:
    """Return uniform numbers in [0, 1) of the given shape for each sample.

    They depend on the sample's key and the purpose alone: not on the batch, the device or the process. ``draw_keys``
    are on the CPU.
    """
    return _uniform(draw_keys, purpose, list(shape), device)


# An operator, since torch.compile can neither trace generators nor the digests that seed them.
@torch.library.custom_op(
    "sycoca::uniform", mutates_args=(), schema="(Tensor draw_keys, str purpose, int[] shape, Device device) -> Tensor"
)
def _uniform(draw_keys: Tensor, purpose: str, shape: Sequence[int], device: torch.device) -> Tensor:
    draws = [torch.rand(shape, generator=own) for own in derive_generators(draw_keys.tolist(), purpose)]
    return copied_to(torch.stack(draws), device)


@_uniform.register_fake
def _(draw_keys: Tensor, purpose: str, shape: Sequence[int], device: torch.device) -> Tensor:  # noqa: ARG001
    return torch.empty(len(draw_keys), *shape, device=device)
