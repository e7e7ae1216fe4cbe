"""Small images as data URIs, so that HTML pages are self-contained."""

import base64
import io

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

Picture = UInt8[np.ndarray, "height width 3"]

SHOWN_PIXELS = 192
"""Side of an image on a page; small images are enlarged to it without interpolation, so that patches stay visible."""

_JPEG_QUALITY = 88
_HIDDEN_COLOR = np.array([228, 230, 236])
_MAP_LOW, _MAP_HIGH = np.array([24, 28, 58]), np.array([255, 214, 64])


def data_uri(picture: Picture, side: int = SHOWN_PIXELS) -> str:
    """Return an image as a data URI, with about ``side`` pixels on its longer side.

    Smaller images are enlarged by an integer factor and stored as PNG, which keeps their pixels; larger ones are
    reduced and stored as JPEG, to limit the size of the page.
    """
    image = Image.fromarray(picture)
    factor = max(1, round(side / max(image.size)))
    is_photo = max(image.size) > side
    buffer = io.BytesIO()
    if is_photo:
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
        image.save(buffer, format="JPEG", quality=_JPEG_QUALITY)
    else:
        image = image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
        image.save(buffer, format="PNG", optimize=True)
    kind = "jpeg" if is_photo else "png"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def without_patches(picture: Picture, is_hidden: Bool[np.ndarray, "rows columns"]) -> Picture:
    """Return the image with some patches blank."""
    return np.where(_per_pixel(is_hidden, picture)[:, :, None], _HIDDEN_COLOR, picture).astype(np.uint8)


def score_overlay(picture: Picture, scores: Float[np.ndarray, "rows columns"], scale: tuple[float, float]) -> Picture:
    """Return a heat map of the scores over a gray version of the image, from dark (low) to bright (high).

    ``scale`` are the scores of the darkest and the brightest color, the same for all maps that are compared.
    """
    low, high = scale
    normalized = ((scores - low) / (high - low if high > low else 1.0)).clip(0, 1)
    colors = _MAP_LOW + _per_pixel(normalized, picture)[:, :, None] * (_MAP_HIGH - _MAP_LOW)
    gray = picture.mean(axis=2, keepdims=True)
    return (0.35 * gray + 0.65 * colors).clip(0, 255).astype(np.uint8)


def _per_pixel(values: np.ndarray, picture: Picture) -> np.ndarray:
    """Repeat the value of each patch for all its pixels."""
    rows, columns = values.shape
    return values.repeat(picture.shape[0] // rows, axis=0).repeat(picture.shape[1] // columns, axis=1)
