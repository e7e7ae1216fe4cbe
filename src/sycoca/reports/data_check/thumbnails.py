"""Small pictures of samples on pages."""

import base64
import io
from dataclasses import dataclass

from PIL import Image

from sycoca.data.samples import ImageTextSample
from sycoca.unusable import UnusableSampleError

THUMBNAIL_PIXELS = 200
"""Longer side of a thumbnail."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Thumbnail:
    """A thumbnail with its captions and label."""

    picture: str
    """A data URI, empty where the image cannot be read."""

    key: str
    captions: tuple[str, ...]
    part: str
    label: str | None


def thumbnail(sample: ImageTextSample, part: str) -> Thumbnail:
    """Return the thumbnail of a sample."""
    try:
        image = sample.open_image(2 * THUMBNAIL_PIXELS)
    except UnusableSampleError:
        picture = ""  # the page shows a placeholder and lists the problem
    else:
        picture = _jpeg_uri(image)
    return Thumbnail(picture=picture, key=sample.key, captions=sample.captions, part=part, label=sample.label)


def _jpeg_uri(image: Image.Image) -> str:
    small = image.copy()
    small.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
