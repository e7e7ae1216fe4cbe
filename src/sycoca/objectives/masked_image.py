"""TG-MIM: reconstruction of the masked patches from the visible ones and the caption."""

from typing import assert_never

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from sycoca.objectives.config import PixelError
from sycoca.precision import at_least_float32

NORMALIZATION_EPS = 1e-6
"""Avoids division by zero for patches of one color (MAE, arXiv 2111.06377)."""


def patch_statistics(
    patches: Float[Tensor, "batch patches pixels"],
) -> tuple[Float[Tensor, "batch patches 1"], Float[Tensor, "batch patches 1"]]:
    """Return every patch's mean and standard deviation, for normalizing targets and for restoring pixels."""
    mean = patches.mean(dim=-1, keepdim=True)
    # Not torch.var_mean: it is single-threaded on CPUs and took a fifth of a small model's step.
    variance = (patches - mean).square().sum(dim=-1, keepdim=True) / (patches.shape[-1] - 1)
    return mean, (variance + NORMALIZATION_EPS).sqrt()


def normalize_patches(
    patches: Float[Tensor, "batch patches pixels"],
) -> Float[Tensor, "batch patches pixels"]:
    """Return the patches, each normalized to mean 0 and variance 1 (MAE, arXiv 2111.06377, section 4.1)."""
    mean, deviation = patch_statistics(patches)
    return (patches - mean) / deviation


def masked_feature_loss(
    predicted: Float[Tensor, "batch masked width"], teacher: Float[Tensor, "batch masked width"], num_samples: int
) -> Float[Tensor, ""]:
    """Return the squared error of masked patches' features, as `masked_image_loss` does of their pixels.

    The teacher's are normalized per patch, so the error of predicting nothing but zeros is 1 (data2vec, arXiv
    2202.03555).
    """
    teacher = at_least_float32(teacher)
    return masked_image_loss(predicted, F.layer_norm(teacher, teacher.shape[-1:]), "squared", num_samples)


def masked_image_loss(
    predicted: Float[Tensor, "batch masked pixels"],
    target: Float[Tensor, "batch masked pixels"],
    error: PixelError,
    num_samples: int,
) -> Float[Tensor, ""]:
    """Return the pixel error, averaged over a sample's masked patches; visible patches do not count.

    It is summed over samples and divided by ``num_samples``, the pairs of the global batch.
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
