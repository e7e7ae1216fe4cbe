"""Measures of a photo's quality: sharpness, brightness and information, at the resolution that models see."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int16
from PIL import Image

SHORTER_SIDE = 224
"""Larger photos are reduced to this shorter side before they are measured: what is lost there, models do not see."""

DARK_QUANTILE = 0.95
"""The fraction of pixels at or below the dark level."""

BRIGHT_QUANTILE = 0.25
"""The fraction of pixels at or below the bright level."""

_LEAST_CONTRAST = 0.5
"""Mean squared difference of neighbors, of 255 levels, below which rounding decides about sharpness."""

_LEAST_SIDE = 8
_EVERY, _LEAST_ROWS = 4, 64


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
    rows = _rows(np.asarray(small, dtype=np.int16))
    return PhotoMeasures(
        sharpness=_sharpness(*(one.astype(np.float32) for one in rows)),
        dark_level=int(np.searchsorted(levels, DARK_QUANTILE)),
        bright_level=int(np.searchsorted(levels, BRIGHT_QUANTILE)),
        information=_information(rows[1]),
    )


def _reduced(gray: Image.Image) -> Image.Image:
    side = min(gray.size)
    if side <= SHORTER_SIDE:
        return gray
    size = round(gray.width * SHORTER_SIDE / side), round(gray.height * SHORTER_SIDE / side)
    return gray.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)


def _rows(
    pixels: Int16[np.ndarray, "height width"],
) -> tuple[Int16[np.ndarray, "rows width"], Int16[np.ndarray, "rows width"], Int16[np.ndarray, "rows width"]]:
    """Return some rows, with those above and below them: every fourth row tells as much as all, for less time."""
    every = _EVERY if len(pixels) >= _LEAST_ROWS else 1
    middle = pixels[1:-1:every]
    return pixels[:-2:every], middle, pixels[2::every]


def _sharpness(
    above: Float[np.ndarray, "rows width"],
    middle: Float[np.ndarray, "rows width"],
    below: Float[np.ndarray, "rows width"],
) -> float | None:
    if len(middle) < _LEAST_SIDE - 2 or middle.shape[1] < _LEAST_SIDE:
        return None
    # Motion blurs along one direction only, so each of four is judged on its own: from a pixel to its two opposite
    # neighbors to the right and left, below and above, and on both diagonals.
    pixel = middle[:, 1:-1]
    opposite = [
        (middle[:, 2:], middle[:, :-2]),
        (below[:, 1:-1], above[:, 1:-1]),
        (below[:, 2:], above[:, :-2]),
        (below[:, :-2], above[:, 2:]),
    ]
    ratios = [_ratio(one - pixel, other - pixel) for one, other in opposite]
    return min((ratio for ratio in ratios if ratio is not None), default=None)


def _ratio(step: Float[np.ndarray, "rows columns"], opposite: Float[np.ndarray, "rows columns"]) -> float | None:
    """Return the energy of second differences over that of first ones; None where there is hardly any contrast."""
    first = (_energy(step) + _energy(opposite)) / 2
    return _energy(step + opposite) / first if first >= _LEAST_CONTRAST else None


def _energy(differences: Float[np.ndarray, "rows columns"]) -> float:
    flat = differences.ravel()
    return float(flat @ flat) / flat.size


def _information(rows: Int16[np.ndarray, "rows width"]) -> float:
    counts = np.bincount(np.abs(np.diff(rows, axis=1)).ravel())
    found = counts[counts > 0] / counts.sum()
    return float(-(found * np.log2(found)).sum()) + 0.0  # no -0.0
