"""Measures of a photo's quality: sharpness, brightness and information, at the resolution that models see."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageChops

SHORTER_SIDE = 224
"""Larger photos are reduced to this shorter side before they are measured: what is lost there, models do not see."""

DARK_QUANTILE = 0.95
"""The fraction of pixels at or below the dark level."""

BRIGHT_QUANTILE = 0.25
"""The fraction of pixels at or below the bright level."""

_LEAST_CONTRAST = 0.5
"""Mean squared difference of neighbors, of 255 levels, below which rounding decides about sharpness."""

_LEAST_SIDE = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class PhotoMeasures:
    """Measures of one photo."""

    sharpness: float | None
    """Energy of second over first differences of neighboring pixels, in the direction where it is least: 3 for noise, 1
    to 2 for sharp photos, near 0 for blurred ones, whatever their contrast. None where there is too little contrast, or
    a side of fewer than 8 pixels."""

    dark_level: int
    """Gray level, of 0 to 255, that 95 % of the pixels do not exceed."""

    bright_level: int
    """Gray level, of 0 to 255, that 75 % of the pixels reach or exceed."""

    information: float
    """Entropy of the differences of horizontal neighbors, in bits per pixel: about what lossless compression needs."""


def photo_measures(gray: Image.Image) -> PhotoMeasures:
    """Return the measures of a photo in gray (mode L)."""
    small = _reduced(gray)
    levels = np.cumsum(small.histogram()) / (small.width * small.height)
    return PhotoMeasures(
        sharpness=_sharpness(np.asarray(small, dtype=np.float32)),
        dark_level=int(np.searchsorted(levels, DARK_QUANTILE)),
        bright_level=int(np.searchsorted(levels, BRIGHT_QUANTILE)),
        information=_information(small),
    )


def _reduced(gray: Image.Image) -> Image.Image:
    side = min(gray.size)
    if side <= SHORTER_SIDE:
        return gray
    size = round(gray.width * SHORTER_SIDE / side), round(gray.height * SHORTER_SIDE / side)
    return gray.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)


def _sharpness(pixels: Float[np.ndarray, "height width"]) -> float | None:
    if min(pixels.shape) < _LEAST_SIDE:
        return None
    # Motion blurs along one direction only, so each of four is judged on its own.
    steps = [
        pixels[:, 1:] - pixels[:, :-1],
        pixels[1:] - pixels[:-1],
        pixels[1:, 1:] - pixels[:-1, :-1],
        pixels[1:, :-1] - pixels[:-1, 1:],
    ]
    changes = [
        steps[0][:, 1:] - steps[0][:, :-1],
        steps[1][1:] - steps[1][:-1],
        steps[2][1:, 1:] - steps[2][:-1, :-1],
        steps[3][1:, :-1] - steps[3][:-1, 1:],
    ]
    ratios = _ratios([_energy(one) for one in changes], [_energy(one) for one in steps])
    return min(ratios, default=None)


def _ratios(changes: Sequence[float], steps: Sequence[float]) -> list[float]:
    return [change / step for change, step in zip(changes, steps, strict=True) if step >= _LEAST_CONTRAST]


def _energy(differences: Float[np.ndarray, "rows columns"]) -> float:
    flat = differences.ravel()
    return float(flat @ flat) / flat.size


def _information(gray: Image.Image) -> float:
    width, height = gray.size
    left, right = gray.crop((0, 0, width - 1, height)), gray.crop((1, 0, width, height))
    counts = np.array(ImageChops.difference(left, right).histogram())
    found = counts[counts > 0] / counts.sum()
    return float(-(found * np.log2(found)).sum()) + 0.0  # no -0.0
