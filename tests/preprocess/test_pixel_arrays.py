"""Arrays and tensors are what the file with these pixels is."""

import numpy as np
import pytest
import torch
from PIL import Image

from builders.image_bytes import encoded, png
from sycoca.preprocess.decoding import open_rgb
from sycoca.preprocess.pixel_arrays import array_image, is_batch
from sycoca.preprocess.rgb import to_rgb

RANDOM = np.random.default_rng(3)


def rgb(values: np.ndarray | torch.Tensor) -> np.ndarray:
    return np.asarray(to_rgb(array_image(values)))


def as_tensor(pixels: np.ndarray) -> torch.Tensor:
    values = torch.from_numpy(pixels.copy())
    return values.permute(2, 0, 1) if pixels.ndim == 3 else values


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_integers_are_read_as_from_a_png(channels: int, dtype: type):
    pixels = RANDOM.integers(0, np.iinfo(dtype).max + 1, (7, 5, channels), dtype=dtype)
    color_type, depth = {1: 0, 2: 4, 3: 2, 4: 6}[channels], 8 * pixels.itemsize
    rows = [row.astype(pixels.dtype.newbyteorder(">")).tobytes() for row in pixels]
    expected = np.asarray(open_rgb(png(color_type, depth, rows, size=(5, 7)), "a.png"))
    np.testing.assert_array_equal(rgb(pixels), expected)
    np.testing.assert_array_equal(rgb(as_tensor(pixels)), expected)
    np.testing.assert_array_equal(rgb(pixels.astype(pixels.dtype.newbyteorder(">"))), expected)
    if channels == 1:
        np.testing.assert_array_equal(rgb(pixels[:, :, 0]), expected)
        np.testing.assert_array_equal(rgb(as_tensor(pixels[:, :, 0])), expected)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_are_their_bytes_divided_by_255(channels: int, dtype: type):
    whole = RANDOM.integers(0, 256, (6, 4, channels), dtype=np.uint8)
    floats = (whole / 255).astype(dtype)
    np.testing.assert_array_equal(rgb(floats), rgb(whole))
    np.testing.assert_array_equal(rgb(as_tensor(floats)), rgb(whole))


def test_floats_in_gray_are_read_as_from_a_tiff():
    floats = RANDOM.random((9, 8)).astype(np.float32)
    expected = np.asarray(open_rgb(encoded(Image.fromarray(floats), "TIFF"), "a.tif"))
    np.testing.assert_array_equal(rgb(floats), expected)
    np.testing.assert_array_equal(rgb(floats[:, :, None].repeat(3, axis=2)), expected)


def test_half_precision_tensors_and_gradients_are_read():
    whole = torch.arange(27, dtype=torch.float32).reshape(3, 3, 3) / 32
    expected = rgb(whole)
    np.testing.assert_array_equal(rgb(whole.bfloat16().requires_grad_()), expected)


def test_booleans_are_black_and_white():
    mask = np.array([[True, False], [False, True]])
    expected = np.asarray(open_rgb(encoded(Image.fromarray(mask), "PNG"), "a.png"))
    np.testing.assert_array_equal(rgb(mask), expected)
    np.testing.assert_array_equal(rgb(torch.from_numpy(mask)), expected)


def test_the_layout_is_not_guessed():
    pixels = RANDOM.integers(0, 256, (3, 3, 3), dtype=np.uint8)
    np.testing.assert_array_equal(rgb(pixels), pixels)
    np.testing.assert_array_equal(rgb(torch.from_numpy(pixels)), pixels.transpose(1, 2, 0))
    np.testing.assert_array_equal(rgb(pixels[::-1, ::2].copy()), rgb(pixels[::-1, ::2]))


def test_batches_have_a_dimension_more():
    assert is_batch(np.zeros((2, 4, 4, 3), np.uint8))
    assert is_batch(torch.zeros(2, 3, 4, 4))
    assert is_batch(np.array(["a.jpg", "b.jpg"]))
    assert not is_batch(np.zeros((2, 4, 4), np.uint8))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            np.zeros((3, 8, 9), np.uint8),
            r"^shape \(3, 8, 9\) is not \(height, width, channels\) with 1 to 4 channels, as a NumPy array must be; if"
            r" its channels are first, pass array.transpose\(1, 2, 0\)$",
        ),
        (
            torch.zeros(8, 9, 3),
            r"^shape \(8, 9, 3\) is not \(channels, height, width\) .* a tensor must be; .* tensor.permute\(2, 0, 1\)$",
        ),
        (np.zeros((8, 9, 5), np.uint8), r"^shape \(8, 9, 5\) is not .* as a NumPy array must be$"),
        (
            torch.zeros(12),
            r"^shape \(12,\) is not that of an image; a tensor is .* \(images, channels, height, width\)",
        ),
        (np.zeros((0, 8, 3), np.uint8), r"^shape \(0, 8, 3\) has 8 x 0 pixels$"),
        (torch.zeros(3, 8, 0), r"^shape \(3, 8, 0\) has 0 x 8 pixels$"),
        (np.zeros((4, 4, 3), np.int64), r"^dtype int64 is not read; pixels are uint8 \(0 to 255\), uint16"),
        (torch.zeros(3, 4, 4, dtype=torch.int16), "^dtype int16 is not read"),
        (np.full((4, 4, 3), 200.0), r"^values of shape \(4, 4, 3\) range from 200 to 200; .*: divide it by 255, or"),
        (torch.full((3, 4, 4), -1.5), r"^values of shape \(3, 4, 4\) range from -1.5 to -1.5; .* before it is normal"),
        (np.full((4, 4), np.nan), r"^shape \(4, 4\) has 16 values that are NaN or infinite"),
        (np.array([[0.0, np.inf], [0.5, 0.5]]), r"^shape \(2, 2\) has 1 values that are NaN or infinite"),
    ],
)
def test_what_is_no_image_is_refused_with_what_came(values: np.ndarray | torch.Tensor, message: str):
    with pytest.raises(ValueError, match=message):
        array_image(values)
