"""From PIL images to normalized pixels: crop, resize, flip, normalize; and back, for display."""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import assert_never

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from sycoca.preprocess.config import ImageTransformConfig, ResizeKind
from sycoca.preprocess.rgb import to_rgb

Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels."""

_OVERSAMPLING = 2


def smallest_inference_side(image_size: int) -> int:
    """Return the minimum side in pixels at which to decode: twice the input size, so that hardly a pixel changes."""
    return _OVERSAMPLING * image_size


def smallest_training_side(image_size: int, config: ImageTransformConfig) -> int:
    """Return the same for training, where the smallest possible crop must have that size."""
    return math.ceil(_OVERSAMPLING * image_size / math.sqrt(config.crop_min_area))


def training_image(
    image: Image.Image, image_size: int, config: ImageTransformConfig, generator: torch.Generator
) -> Float[Tensor, "3 height width"]:
    """Take a random crop, resize it to a square, flip it at random if configured, and normalize it."""
    area_draw, aspect_draw, left_draw, top_draw, flip_draw = torch.rand(5, generator=generator).tolist()
    area = config.crop_min_area + (1 - config.crop_min_area) * area_draw
    width, height = _crop_sides(image, area, aspect_draw, config)
    left = left_draw * (image.width - width)
    top = top_draw * (image.height - height)
    pixels = _resized(image, image_size, (left, top, left + width, top + height))
    return _normalize(pixels[:, ::-1] if config.flips and flip_draw < 0.5 else pixels, config)


def inference_image(
    image: Image.Image, image_size: int, config: ImageTransformConfig
) -> Float[Tensor, "3 height width"]:
    """Resize the central square, or the whole image, to a square and normalize it."""
    return _normalize(_resized_whole(image, image_size, config), config)


def inference_picture(image: Image.Image, image_size: int, config: ImageTransformConfig) -> Image.Image:
    """Return an image as small as `inference_image` makes it, which it then only normalizes: a batch of them waits in
    little memory."""
    return Image.fromarray(_resized_whole(image, image_size, config))


def _resized_whole(
    image: Image.Image, image_size: int, config: ImageTransformConfig
) -> UInt8[np.ndarray, "height width 3"]:
    match config.resize:
        case "crop":
            side = min(image.size)
            left, top = (image.width - side) / 2, (image.height - side) / 2
            box = (left, top, left + side, top + side)
        case "squash":
            box = (0.0, 0.0, float(image.width), float(image.height))
        case unknown:
            assert_never(unknown)
    return _resized(image, image_size, box)


def inference_batch(
    openers: Sequence[Callable[[int], Image.Image]], image_size: int, config: ImageTransformConfig
) -> Float[Tensor, "batch 3 height width"]:
    """Open, resize and normalize images in parallel; each opener gets the minimum side at which to decode."""
    batch = np.empty((len(openers), 3, image_size, image_size), np.float32)
    side = smallest_inference_side(image_size)

    def fill(index: int) -> None:
        batch[index] = inference_image(openers[index](side), image_size, config).numpy()

    with image_threads() as pool:
        list(pool.map(fill, range(len(openers))))  # list() raises the errors of the threads
    return torch.from_numpy(batch)


def image_threads() -> ThreadPoolExecutor:
    """Return a pool with as many threads as PyTorch uses; decoding and resizing release the GIL."""
    return ThreadPoolExecutor(torch.get_num_threads())


def to_pictures(
    images: Float[Tensor, "batch 3 height width"], config: ImageTransformConfig
) -> UInt8[np.ndarray, "batch height width 3"]:
    """Turn normalized pixels back into 8-bit RGB."""
    mean, std = _color_constants(config)
    pixels = images.detach().float().cpu() * std + mean
    return (pixels.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


def _aspect_at_inference(own_aspect: float, resize: ResizeKind) -> float:
    """Return width by height of what an image of that aspect shows of itself at inference."""
    match resize:
        case "crop":
            return 1.0
        case "squash":
            return own_aspect
        case unknown:
            assert_never(unknown)


def _crop_sides(
    image: Image.Image, area: float, aspect_draw: float, config: ImageTransformConfig
) -> tuple[float, float]:
    """Return width and height of a crop with that fraction of the area and an aspect ratio among those that fit."""
    own_aspect = image.width / image.height
    center = _aspect_at_inference(own_aspect, config.resize)
    narrowest, widest = area * own_aspect, own_aspect / area
    low = min(max(center / config.crop_max_aspect, narrowest), widest)
    high = max(min(center * config.crop_max_aspect, widest), narrowest)
    aspect = math.exp(math.log(low) + aspect_draw * (math.log(high) - math.log(low)))
    pixels = area * image.width * image.height
    # Rounding must not push a crop of the full area past the edge.
    return min(math.sqrt(pixels * aspect), float(image.width)), min(math.sqrt(pixels / aspect), float(image.height))


def _resized(image: Image.Image, image_size: int, box: Box) -> UInt8[np.ndarray, "height width 3"]:
    if image.mode != "RGB":
        image = to_rgb(image)
    # An image of the right size needs no filter, and PIL would copy it.
    if image.size != (image_size, image_size) or box != (0, 0, image_size, image_size):
        image = image.resize((image_size, image_size), Image.Resampling.BICUBIC, box=box)
    return np.asarray(image)


def _normalize(
    pixels: UInt8[np.ndarray, "height width 3"], config: ImageTransformConfig
) -> Float[Tensor, "3 height width"]:
    # With NumPy: PyTorch's operators would start a thread pool in each of the threads that transform images.
    mean, std = (constants.numpy() for constants in _color_constants(config))
    planes = np.empty((3, *pixels.shape[:2]), np.float32)
    planes[...] = pixels.transpose(2, 0, 1)
    planes /= 255
    planes -= mean
    planes /= std
    return torch.from_numpy(planes)


@lru_cache(maxsize=8)
def _color_constants(config: ImageTransformConfig) -> tuple[Float[Tensor, "3 1 1"], Float[Tensor, "3 1 1"]]:
    return torch.tensor(config.mean)[:, None, None], torch.tensor(config.std)[:, None, None]
