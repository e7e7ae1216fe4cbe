"""Images of any mode as upright RGB, converted by strips."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from PIL import Image

_PIXELS_OF_STRIP = 2**20

_ORIENTATION_TAG = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_WITH_ALPHA = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})


def to_rgb(image: Image.Image) -> Image.Image:
    """Return the image turned upright (as its EXIF tag says) in RGB.

    Transparent pixels become white, as on a page; the colors stored behind them are arbitrary. 16 bits are scaled to 8.
    Float images with values up to 1 are scaled by 255, others are taken as 8-bit values; ValueError where values lie
    outside these ranges, because then it is unknown which value is white.
    """
    image.load()
    turn = _TURNS.get(orientation(image))
    colors = _rgb(image)
    return colors if turn is None else colors.transpose(turn)


def orientation(image: Image.Image) -> int:
    """Return how an image lies, as its EXIF tag says: 1 is upright, and so is one whose metadata cannot be read."""
    with suppress(Exception):  # PIL reads metadata of PNG and WebP here for the first time; its parsers raise anything
        return image.getexif().get(_ORIENTATION_TAG, 1)
    return 1


def _rgb(image: Image.Image) -> Image.Image:
    """Return a decoded image in RGB. It is converted by strips, so that no copy of it all is made on the way."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    scale = _scale_to_eight_bits(image) if image.mode == "F" or image.mode.startswith("I") else None
    found = Image.new("RGB", image.size)
    for box in _strips(image.size):
        found.paste(_rgb_strip(image.crop(box), scale), box)
    return found


def _strips(size: tuple[int, int]) -> Iterator[tuple[int, int, int, int]]:
    width, height = size
    rows = max(1, _PIXELS_OF_STRIP // max(1, width))
    for top in range(0, height, rows):
        yield 0, top, width, min(height, top + rows)


def _rgb_strip(strip: Image.Image, scale: "_Scale | None") -> Image.Image:
    if scale is not None:
        strip = _eight_bits(strip, scale)
    if strip.mode in _WITH_ALPHA or "transparency" in strip.info:
        strip = _over_white(strip.convert("RGBA"))
    return strip if strip.mode == "RGB" else strip.convert("RGB")


@dataclass(frozen=True, slots=True)
class _Scale:
    """How values of more than 8 bits become 8."""

    factor: float
    largest: float


def _scale_to_eight_bits(image: Image.Image) -> _Scale:
    """Return the scale of an image in floats or integers. Raises ValueError for values outside the range."""
    smallest, largest = np.inf, -np.inf
    for box in _strips(image.size):
        part = np.asarray(image.crop(box))
        # NumPy's minimum and maximum keep NaN, Python's do not.
        smallest, largest = np.minimum(smallest, part.min()), np.maximum(largest, part.max())
    if image.mode == "F":
        scale = _Scale(255.0, 1.0) if largest <= 1 else _Scale(1.0, 255.0)
    else:
        scale = _Scale(1 / 257, 65535.0)
    if not (smallest >= 0 and largest <= scale.largest):  # written so that NaN is refused as well
        raise ValueError(
            f"its values range from {smallest:g} to {largest:g} instead of 0 to {scale.largest:g}; save it with 8 bits"
        )
    return scale


def _eight_bits(strip: Image.Image, scale: _Scale) -> Image.Image:
    # PIL clips instead of scaling, which turns most 16-bit pixels white and most float pixels black.
    values = np.asarray(strip, dtype=np.float64)
    key = strip.info.get("transparency")
    if isinstance(key, int):
        values = np.where(values == key, scale.largest, values)
    return Image.fromarray((values * scale.factor).round().astype(np.uint8))


def _over_white(image: Image.Image) -> Image.Image:
    if image.getchannel("A").getextrema() == (255, 255):
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image)
