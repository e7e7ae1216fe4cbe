"""NumPy arrays and tensors of pixels as images, equal to the decoded file of the same content.

The kind of array says where the channels are: last in NumPy arrays, as PIL and OpenCV have them, first in tensors, as
PyTorch has them. Nothing is guessed from the shape, where 3 x 3 x 3 could be either.
"""

import numpy as np
import torch
from jaxtyping import Shaped
from PIL import Image
from torch import Tensor

PixelArray = np.ndarray | Tensor
"""Pixels of one image."""

_MAX_CHANNELS = 4
_BATCH_DIMENSIONS = 4
_DTYPES = "uint8 (0 to 255), uint16 (0 to 65535), floats (0 to 1) or booleans"


def is_batch(values: PixelArray) -> bool:
    """Return whether an array has several images, or names of files, along its first dimension."""
    holds_objects = isinstance(values, np.ndarray) and values.dtype.kind in "OUST" and values.ndim > 0
    return holds_objects or values.ndim == _BATCH_DIMENSIONS


def array_image(values: PixelArray) -> Image.Image:
    """Return pixels as an image that `to_rgb` turns into what it makes of the file with these pixels.

    NumPy arrays are (height, width) or (height, width, channels), tensors (height, width) or (channels, height, width),
    with 1 channel (gray), 2 (gray and alpha), 3 (RGB) or 4 (RGBA). Values are uint8, uint16 (0 to 65535), floats from
    0 to 1, or booleans. Raises ValueError that begins with the shape or the range for anything else.
    """
    _check_shape(values)
    pixels = _channels_last(values)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if pixels.dtype.kind == "f":
        _check_range(pixels, values)
    return Image.fromarray(np.ascontiguousarray(_as_decoded(pixels)))


def _check_shape(values: PixelArray) -> None:
    shape = tuple(values.shape)
    is_tensor = isinstance(values, Tensor)
    layout = "(channels, height, width)" if is_tensor else "(height, width, channels)"
    what = "tensor" if is_tensor else "NumPy array"
    if values.ndim not in (2, 3):
        batch = "(images, channels, height, width)" if is_tensor else "(images, height, width, channels)"
        raise ValueError(
            f"shape {shape} is not that of an image; a {what} is {layout} or (height, width), and {batch} for several"
            " images"
        )
    first_channel, last_channel = (0, 2) if is_tensor else (2, 0)
    if values.ndim == 3 and not 1 <= shape[first_channel] <= _MAX_CHANNELS:
        hint = ""
        if 1 <= shape[last_channel] <= _MAX_CHANNELS:
            call = "tensor.permute(2, 0, 1)" if is_tensor else "array.transpose(1, 2, 0)"
            hint = f"; if its channels are {'last' if is_tensor else 'first'}, pass {call}"
        raise ValueError(f"shape {shape} is not {layout} with 1 to {_MAX_CHANNELS} channels, as a {what} must be{hint}")
    height, width = shape[-2:] if is_tensor else shape[:2]
    if min(height, width) == 0:
        raise ValueError(f"shape {shape} has {width} x {height} pixels")


def _channels_last(values: PixelArray) -> Shaped[np.ndarray, "..."]:
    """Return a NumPy array with channels last, of a dtype that is read. Raises ValueError for another one."""
    if isinstance(values, Tensor):
        own = values.detach().cpu()
        own = own.float() if own.dtype in (torch.bfloat16, torch.float16) else own
        values = (own.permute(1, 2, 0) if own.ndim == 3 else own).numpy()
    if values.dtype.kind not in "bf" and (values.dtype.kind, values.dtype.itemsize) not in (("u", 1), ("u", 2)):
        raise ValueError(f"dtype {values.dtype} is not read; pixels are {_DTYPES}")
    return values


def _check_range(pixels: Shaped[np.ndarray, "..."], given: PixelArray) -> None:
    smallest, largest = float(pixels.min()), float(pixels.max())
    if smallest >= 0 and largest <= 1:
        return
    shape = tuple(given.shape)
    if not np.isfinite(pixels).all():
        raise ValueError(f"shape {shape} has {int((~np.isfinite(pixels)).sum()):,} values that are NaN or infinite")
    hint = "pass the image before it is normalized"
    if smallest >= 0 and largest <= 255:
        hint = "divide it by 255, or convert it to uint8"
    raise ValueError(
        f"values of shape {shape} range from {smallest:g} to {largest:g}; floats must lie between 0 and 1: {hint}"
    )


def _as_decoded(pixels: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, "..."]:
    """Return what PIL's decoders make of a file: floats and 16 bits stay as they are in gray, and become 8 in color."""
    is_gray = pixels.ndim == 2
    match pixels.dtype.kind:
        case "b":
            return pixels.astype(np.uint8) * 255
        case "f" if is_gray:
            return pixels.astype(np.float32)
        case "f":
            return (pixels.astype(np.float32).astype(np.float64) * 255).round().astype(np.uint8)
        case _ if pixels.dtype.itemsize == 2 and is_gray:
            return pixels.astype(np.uint16)
        case _ if pixels.dtype.itemsize == 2:
            # PNG's 16-bit colors: PIL keeps the upper 8 bits.
            return (pixels >> 8).astype(np.uint8)
        case _:
            return pixels
