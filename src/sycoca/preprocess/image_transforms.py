"""From PIL images to normalized pixels: crop, resize, flip, normalize; and back, for showing pictures."""

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

from sycoca.preprocess.config import ImageTransformConfig
from sycoca.preprocess.decoding import to_rgb

Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels."""

_OVERSAMPLING = 2


def smallest_inference_side(image_size: int) -> int:
    """Return how small a decoded image may be: twice what is shown, so that hardly a pixel differs from all of it."""
    return _OVERSAMPLING * image_size


def smallest_training_side(image_size: int, config: ImageTransformConfig) -> int:
    """Return the same for training, whose crops may be the smallest part of an image."""
    return math.ceil(_OVERSAMPLING * image_size / math.sqrt(config.crop_min_area))


def training_image(
    image: Image.Image, image_size: int, config: ImageTransformConfig, generator: torch.Generator
) -> Float[Tensor, "3 height width"]:
    """Cut a random crop, resize it to a square, perhaps mirror it and normalize."""
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
    """Resize the central square, or all of the image, to a square and normalize."""
    match config.resize:
        case "crop":
            side = min(image.size)
            left, top = (image.width - side) / 2, (image.height - side) / 2
            box = (left, top, left + side, top + side)
        case "squash":
            box = (0.0, 0.0, float(image.width), float(image.height))
        case unknown:
            assert_never(unknown)
    return _normalize(_resized(image, image_size, box), config)


def inference_batch(
    openers: Sequence[Callable[[int], Image.Image]], image_size: int, config: ImageTransformConfig
) -> Float[Tensor, "batch 3 height width"]:
    """Open images (each is told how small it may be decoded), resize and normalize them, several at a time."""
    batch = np.empty((len(openers), 3, image_size, image_size), np.float32)
    side = smallest_inference_side(image_size)

    def fill(place: int) -> None:
        batch[place] = inference_image(openers[place](side), image_size, config).numpy()

    with image_threads() as pool:
        list(pool.map(fill, range(len(openers))))  # a list, so that what is wrong with an image is raised
    return torch.from_numpy(batch)


def image_threads() -> ThreadPoolExecutor:
    """Return a pool of as many threads as PyTorch computes with: images leave Python's lock to others."""
    return ThreadPoolExecutor(torch.get_num_threads())


def to_pictures(
    images: Float[Tensor, "batch 3 height width"], config: ImageTransformConfig
) -> UInt8[np.ndarray, "batch height width 3"]:
    """Turn normalized pixels back into 8-bit RGB."""
    mean, std = _color_constants(config)
    pixels = images.detach().float().cpu() * std + mean
    return (pixels.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


def _crop_sides(
    image: Image.Image, area: float, aspect_draw: float, config: ImageTransformConfig
) -> tuple[float, float]:
    """Return width and height of a crop of that share of the area, its aspect drawn among those that fit."""
    own_aspect = image.width / image.height
    center = own_aspect if config.resize == "squash" else 1.0
    narrowest, widest = area * own_aspect, own_aspect / area
    low = min(max(center / config.crop_max_aspect, narrowest), widest)
    high = max(min(center * config.crop_max_aspect, widest), narrowest)
    aspect = math.exp(math.log(low) + aspect_draw * (math.log(high) - math.log(low)))
    pixels = area * image.width * image.height
    # Rounding must not carry a crop of all the area past the edge.
    return min(math.sqrt(pixels * aspect), float(image.width)), min(math.sqrt(pixels / aspect), float(image.height))


def _resized(image: Image.Image, image_size: int, box: Box) -> UInt8[np.ndarray, "height width 3"]:
    if image.mode != "RGB":
        image = to_rgb(image)
    # An image that has the size already needs no filter, and PIL would copy it.
    if image.size != (image_size, image_size) or box != (0, 0, image_size, image_size):
        image = image.resize((image_size, image_size), Image.Resampling.BICUBIC, box=box)
    return np.asarray(image)


def _normalize(
    pixels: UInt8[np.ndarray, "height width 3"], config: ImageTransformConfig
) -> Float[Tensor, "3 height width"]:
    # By NumPy: of PyTorch's operators each thread that works on images would bring threads of its own.
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
