"""TG-MIM: the pixels of masked patches, given the visible ones and the caption."""

from typing import assert_never

from jaxtyping import Float
from torch import Tensor

from sycoca.objectives.config import PixelError
from sycoca.precision import at_least_float32

NORMALIZATION_EPS = 1e-6
"""Keeps a patch of one color finite (MAE, arXiv 2111.06377)."""


def patch_statistics(
    patches: Float[Tensor, "batch patches pixels"],
) -> tuple[Float[Tensor, "batch patches 1"], Float[Tensor, "batch patches 1"]]:
    """Return every patch's mean and deviation, by which targets are normalized and pictures restored."""
    mean = patches.mean(dim=-1, keepdim=True)
    # Not torch.var_mean, which runs on one thread and took a fifth of a small model's step on a CPU.
    variance = (patches - mean).square().sum(dim=-1, keepdim=True) / (patches.shape[-1] - 1)
    return mean, (variance + NORMALIZATION_EPS).sqrt()


def normalize_patches(
    patches: Float[Tensor, "batch patches pixels"],
) -> Float[Tensor, "batch patches pixels"]:
    """Give every patch mean 0 and variance 1 (MAE, arXiv 2111.06377, section 4.1)."""
    mean, deviation = patch_statistics(patches)
    return (patches - mean) / deviation


def masked_image_loss(
    predicted: Float[Tensor, "batch masked pixels"],
    target: Float[Tensor, "batch masked pixels"],
    error: PixelError,
    num_samples: int,
) -> Float[Tensor, ""]:
    """Pixel error, mean over a sample's masked patches and their pixels; visible patches cost nothing.

    Returns the sum over samples divided by ``num_samples``, the pairs of the whole global batch.
    """
    difference = at_least_float32(predicted) - target
    match error:
        case "squared":
            per_pixel = difference.square()
        case "absolute":
            per_pixel = difference.abs()
        case unknown:
            assert_never(unknown)
    return per_pixel.mean(dim=(1, 2)).sum() / num_samples
