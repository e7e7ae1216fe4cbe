"""Small pictures for pages: arrays in, data URIs out, so that a page needs no other file."""

import base64
import io

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

Picture = UInt8[np.ndarray, "height width 3"]

SHOWN_PIXELS = 192
"""Side of a picture on a page; small images are enlarged to it without smoothing, so that patches stay visible."""

_JPEG_QUALITY = 88
_HIDDEN_COLOR = np.array([228, 230, 236])
_MAP_LOW, _MAP_HIGH = np.array([24, 28, 58]), np.array([255, 214, 64])


def data_uri(picture: Picture, side: int = SHOWN_PIXELS) -> str:
    """Return a picture inside a URI with about ``side`` pixels on its longer side.

    A small one is enlarged by a whole factor, as PNG, so that its pixels stay what they are; one that is larger than
    ``side`` is a photo, reduced to it as JPEG, or a page of photos would have the size of a film.
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


def without_patches(picture: Picture, is_gone: Bool[np.ndarray, "rows columns"]) -> Picture:
    """Return the picture with some patches blank."""
    return np.where(_per_pixel(is_gone, picture)[:, :, None], _HIDDEN_COLOR, picture).astype(np.uint8)


def score_overlay(picture: Picture, scores: Float[np.ndarray, "rows columns"]) -> Picture:
    """Lay scores over a gray version of the picture, dark where lowest and bright where highest."""
    span = float(scores.max() - scores.min())
    shares = (scores - scores.min()) / (span if span > 0 else 1.0)
    colors = _MAP_LOW + _per_pixel(shares, picture)[:, :, None] * (_MAP_HIGH - _MAP_LOW)
    gray = picture.mean(axis=2, keepdims=True)
    return (0.35 * gray + 0.65 * colors).clip(0, 255).astype(np.uint8)


def _per_pixel(values: np.ndarray, picture: Picture) -> np.ndarray:
    """Spread one value per patch over its pixels."""
    rows, columns = values.shape
    return values.repeat(picture.shape[0] // rows, axis=0).repeat(picture.shape[1] // columns, axis=1)
