"""Facts about an image: its size, measures of its quality, and hashes that find duplicates."""

import hashlib
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float
from PIL import Image

from sycoca.data.inspection.photo_measures import PhotoMeasures, photo_measures

HASH_SIDE = 8
"""Frequencies per direction of the perceptual hash, which has 64 bits."""

COLOR_SIDE = 4
"""Cells per direction of the mean colors."""

_SMALL_SIDE = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageFacts:
    """Facts about a readable image."""

    width: int
    """Pixels, upright."""

    height: int
    """Pixels, upright."""

    is_gray: bool
    """Whether red, green and blue are equal everywhere."""

    pixel_hash: bytes
    """Hash of the pixels: equal for equal pixels, and in practice for no others."""

    perceptual_hash: int
    """64 bits, few of which differ after resizing or recompression."""

    colors: bytes
    """Mean red, green and blue of 4 x 4 cells, which distinguish pictures of similar gray values."""

    measures: PhotoMeasures
    """Sharpness, brightness and information."""


def image_facts(image: Image.Image) -> ImageFacts:
    """Return the facts about an upright RGB image."""
    small = image.resize((COLOR_SIDE, COLOR_SIDE), Image.Resampling.BOX, reducing_gap=2.0)
    gray = image.convert("L")
    return ImageFacts(
        width=image.width,
        height=image.height,
        is_gray=_is_gray(np.asarray(small)) and _is_gray(np.asarray(image)),
        pixel_hash=_pixel_hash(image),
        perceptual_hash=perceptual_hash(gray),
        colors=small.tobytes(),
        measures=photo_measures(gray),
    )


def perceptual_hash(image: Image.Image) -> int:
    """Return which of the 64 lowest frequencies of a 32 x 32 gray version are above their median (Zauner, 2010)."""
    # Smooth filters: with plain means 2 of 64 bits change when a photo of Flickr8k is resized, 0.2 with this one.
    small = image.convert("L").resize((_SMALL_SIDE, _SMALL_SIDE), Image.Resampling.LANCZOS, reducing_gap=2.0)
    waves = _cosines()
    frequencies = waves @ np.asarray(small, dtype=np.float64) @ waves.T
    # Rounded, because the frequencies of a uniform image are rounding errors.
    frequencies = frequencies.round(3)
    bits = np.packbits(frequencies.ravel() > np.median(frequencies))
    return int.from_bytes(bits.tobytes(), "big")


def _pixel_hash(image: Image.Image) -> bytes:
    digest = hashlib.sha256(f"{image.width}x{image.height}".encode())
    digest.update(image.tobytes())
    return digest.digest()[:16]


def _is_gray(pixels: np.ndarray) -> bool:
    return bool((pixels[:, :, 0] == pixels[:, :, 1]).all() and (pixels[:, :, 1] == pixels[:, :, 2]).all())


@cache
def _cosines() -> Float[np.ndarray, "frequencies places"]:
    """Return the first rows of the discrete cosine transform."""
    places = (np.arange(_SMALL_SIDE) + 0.5) / _SMALL_SIDE
    return np.cos(np.pi * np.arange(HASH_SIDE)[:, None] * places) / _SMALL_SIDE
