"""From image files to upright RGB."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps


def open_rgb(file: str | Path | io.BytesIO, name: str | None = None, smallest_side: int | None = None) -> Image.Image:
    """Read an image file as upright RGB; ``name`` is what an error calls a file that has no path.

    With ``smallest_side`` a large JPEG is decoded at a reduced size, of which neither side is smaller than that.
    """
    try:
        with Image.open(file) as image:
            if smallest_side is not None:
                image.draft("RGB", (smallest_side, smallest_side))
            return to_rgb(image)
    except (OSError, SyntaxError) as error:  # PIL raises SyntaxError for a broken PNG
        raise ValueError(f"{name or file} cannot be read as an image: {error}") from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Return the image turned upright (as its EXIF tag says) in RGB; transparency is dropped."""
    upright = ImageOps.exif_transpose(image)
    if upright.mode == "P" and "transparency" in upright.info:
        upright = upright.convert("RGBA")
    if upright.mode.startswith("I;16") or upright.mode == "I":
        # PIL clips 16 bits to 8 bits instead of scaling, which turns most pixels white.
        values = np.asarray(upright, dtype=np.float64) / 257
        upright = Image.fromarray(values.clip(0, 255).round().astype(np.uint8))
    return upright if upright.mode == "RGB" else upright.convert("RGB")
