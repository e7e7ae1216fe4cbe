"""Images and strings of users, checked and turned into the model's inputs."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from jaxtyping import Float
from PIL import Image
from torch import Tensor

from sycoca.data.samples import ImageTextSample
from sycoca.preprocess.config import ImageTransformConfig
from sycoca.preprocess.decoding import open_rgb, to_rgb
from sycoca.preprocess.image_transforms import inference_batch

ImageInput = Image.Image | str | Path | Callable[[], Image.Image] | ImageTextSample
"""A PIL image, the path of one, a function that opens one (so that large sets are read lazily), or a sample."""


def open_image(image: ImageInput, smallest_side: int | None = None) -> Image.Image:
    """Return an upright RGB image. Raises ValueError where it cannot be read or is not an image.

    ``smallest_side`` makes reading of large JPEGs faster, see `ImageOpener`.
    """
    if isinstance(image, str | Path):
        return open_rgb(image, smallest_side=smallest_side)
    if isinstance(image, ImageTextSample):
        return image.open_image(smallest_side)
    opened = image() if callable(image) else image
    if not isinstance(opened, Image.Image):
        raise ValueError(f"expected a PIL image, a path or a function that opens an image, got {type(opened).__name__}")
    return to_rgb(opened)


def image_batch(
    images: Sequence[ImageInput], image_size: int, transforms: ImageTransformConfig
) -> Float[Tensor, "batch 3 height width"]:
    """Return images as a normalized batch, transformed as at inference; several are opened at a time."""
    return inference_batch([partial(open_image, image) for image in images], image_size, transforms)


def check_list(values: object, what: str) -> None:
    """Raise ValueError for one image or string where a list is expected; a string would be read letter by letter."""
    if isinstance(values, str | Path | Image.Image) or callable(values):
        raise ValueError(f"expected a list of {what}, got one {type(values).__name__}; put it in brackets")


def check_pairs(images: Sequence[ImageInput], captions: Sequence[object]) -> None:
    """Raise ValueError unless both are lists of the same length."""
    check_list(images, "images")
    check_list(captions, "captions")
    if len(images) != len(captions):
        raise ValueError(f"images and captions come in pairs, got {len(images)} images and {len(captions)} captions")
