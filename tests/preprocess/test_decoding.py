"""Every supported image format against pixels computed by hand."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from builders.image_bytes import encoded, png
from sycoca.preprocess.decoding import open_rgb
from sycoca.preprocess.rgb import to_rgb
from sycoca.unusable import UnusableSampleError

COLORS = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[0, 0, 0], [255, 255, 255], [51, 102, 204]]], np.uint8)
EXACT = {"PNG": {}, "BMP": {}, "TIFF": {}, "WEBP": {"lossless": True}, "GIF": {}}


def pixels(file: io.BytesIO) -> list[list[list[int]]]:
    image = open_rgb(file, "x")
    assert image.mode == "RGB"
    return np.asarray(image).tolist()


def grays(file: io.BytesIO) -> list[list[int]]:
    found = np.asarray(pixels(file))
    assert (found == found[:, :, :1]).all()
    return found[:, :, 0].tolist()


def refusal(file: io.BytesIO) -> str:
    with pytest.raises(UnusableSampleError) as caught:
        open_rgb(file, "x")
    return str(caught.value)


@pytest.mark.parametrize("kind", EXACT)
def test_lossless_kinds_keep_every_color(kind):
    assert pixels(encoded(Image.fromarray(COLORS), kind, **EXACT[kind])) == COLORS.tolist()


def test_jpeg_in_color_and_gray():
    assert pixels(encoded(Image.new("RGB", (8, 8), (254, 0, 0)), "JPEG", quality=100))[3][3] == [254, 0, 0]
    assert grays(encoded(Image.new("L", (8, 8), 77), "JPEG"))[3][3] == 77


def test_animations_give_their_first_frame():
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "lime")]
    for kind, options in (("GIF", {}), ("WEBP", {"lossless": True}), ("PNG", {}), ("TIFF", {})):
        file = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        assert pixels(file) == [[[255, 0, 0]] * 4] * 4


def test_cmyk_of_adobe_files_is_stored_inverted():
    # Half cyan, full yellow: red (1 - 0.5) x 255, green 255, blue 0. PIL writes Adobe's marker and inverts.
    image = Image.new("CMYK", (8, 8), (127, 0, 255, 0))
    file = encoded(image, "JPEG", quality=100, subsampling=0)
    assert b"Adobe" in file.getvalue()
    np.testing.assert_allclose(pixels(file)[4][4], [128, 255, 0], atol=2)
    assert pixels(encoded(image, "TIFF"))[4][4] == [128, 255, 0]


def test_transparent_colors_become_white():
    # 255 - (255 - color) x alpha / 255, whatever was stored behind full transparency.
    rgba = np.array([[[10, 20, 30, 0], [10, 20, 30, 255]], [[0, 0, 0, 51], [100, 200, 255, 102]]], np.uint8)
    expected = [[[255] * 3, [10, 20, 30]], [[204] * 3, [193, 233, 255]]]
    for kind in ("PNG", "TIFF"):
        assert pixels(encoded(Image.fromarray(rgba), kind)) == expected
    gray = np.array([[[0, 0], [9, 255]], [[0, 51], [100, 102]]], np.uint8)
    assert grays(encoded(Image.fromarray(gray, "LA"), "PNG")) == [[255, 9], [204, 193]]


def test_palettes_with_and_without_transparency():
    palette = [255, 0, 0, 0, 0, 255, 9, 9, 9]
    image = Image.fromarray(np.array([[0, 1], [2, 0]], np.uint8), "P")
    image.putpalette(palette)
    plain = [[[255, 0, 0], [0, 0, 255]], [[9, 9, 9], [255, 0, 0]]]
    for kind in ("PNG", "GIF", "BMP", "TIFF"):
        assert pixels(encoded(image, kind)) == plain
    one = [[[255, 0, 0], [255] * 3], [[9, 9, 9], [255, 0, 0]]]
    for kind in ("PNG", "GIF"):
        assert pixels(encoded(image, kind, transparency=1)) == one
    assert pixels(encoded(image, "PNG", transparency=bytes([255, 51, 0])))[0][1] == [204, 204, 255]


def test_one_color_or_gray_declared_transparent():
    color = encoded(Image.fromarray(COLORS), "PNG", transparency=(0, 0, 255))
    assert pixels(color)[0] == [[255, 0, 0], [0, 255, 0], [255] * 3]
    shades = Image.fromarray(np.array([[7, 8], [9, 7]], np.uint8))
    assert grays(encoded(shades, "PNG", transparency=7)) == [[255, 8], [9, 255]]
    deep = png(0, 16, [struct.pack(">HH", 0, 257), struct.pack(">HH", 514, 0)], (b"tRNS", b"\x00\x00"), size=(2, 2))
    assert grays(deep) == [[255, 1], [2, 255]]


def test_sixteen_bit_gray_is_scaled():
    values = np.array([[0, 257 * 100, 65535], [128, 129, 256]], np.uint16)
    expected = [[0, 100, 255], [0, 1, 1]]
    assert grays(encoded(Image.fromarray(values), "PNG")) == expected
    assert grays(encoded(Image.fromarray(values), "TIFF")) == expected
    assert np.asarray(to_rgb(Image.fromarray(values.astype(np.int32))))[:, :, 0].tolist() == expected


def test_sixteen_bit_color_keeps_the_upper_eight_bits():
    row = struct.pack(">6H", 0x8040, 0xFFFF, 0, 0x01FF, 0x10FF, 0x7F00)
    assert pixels(png(2, 16, [row, row], size=(2, 2))) == [[[0x80, 0xFF, 0], [0x01, 0x10, 0x7F]]] * 2
    row = struct.pack(">8H", 0x8040, 0xFFFF, 0, 0xFFFF, 0, 0, 0, 0x3333)
    assert pixels(png(6, 16, [row, row], size=(2, 2))) == [[[0x80, 0xFF, 0], [204] * 3]] * 2


def test_one_bit_is_black_or_white():
    image = Image.fromarray(np.array([[True, False], [False, True]]))
    for kind in ("PNG", "BMP", "TIFF", "GIF"):
        assert grays(encoded(image, kind)) == [[255, 0], [0, 255]]


def test_floats_are_fractions_of_white_or_eight_bit_values():
    fractions = np.array([[0.0, 0.2], [0.6, 1.0]], np.float32)
    assert grays(encoded(Image.fromarray(fractions), "TIFF")) == [[0, 51], [153, 255]]
    assert grays(encoded(Image.fromarray(fractions * 200), "TIFF")) == [[0, 40], [120, 200]]


@pytest.mark.parametrize("values", [[-0.1, 1], [0, 256], [0, float("nan")], [0, float("inf")]])
def test_floats_outside_both_ranges_are_refused(values):
    error = refusal(encoded(Image.fromarray(np.array([values] * 2, np.float32)), "TIFF"))
    assert "its values range from" in error
    assert "save it with 8 bits" in error
    large = Image.fromarray(np.array([[0, 65536]] * 2, np.int32))
    assert "instead of 0 to 65535" in refusal(encoded(large, "TIFF"))


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        (1, lambda a: a),
        (2, lambda a: a[:, ::-1]),
        (3, lambda a: a[::-1, ::-1]),
        (4, lambda a: a[::-1]),
        (5, lambda a: a.transpose(1, 0, 2)),
        (6, lambda a: np.rot90(a, -1)),
        (7, lambda a: a[::-1, ::-1].transpose(1, 0, 2)),
        (8, lambda a: np.rot90(a)),
    ],
)
def test_exif_orientation_is_applied_once(orientation, turn):
    exif = Image.Exif()
    exif[0x0112] = orientation
    for kind in ("PNG", "WEBP", "TIFF"):
        file = encoded(Image.fromarray(COLORS), kind, exif=exif.tobytes(), **EXACT[kind])
        assert pixels(file) == turn(COLORS).tolist(), kind
    large = Image.fromarray(COLORS.repeat(16, axis=0).repeat(16, axis=1))
    jpeg = np.asarray(pixels(encoded(large, "JPEG", exif=exif.tobytes(), quality=95, subsampling=0)))
    np.testing.assert_allclose(jpeg[8::16, 8::16], turn(COLORS), atol=3)


@pytest.mark.parametrize("side", [1, 24, 25, 49, 50, 51, 99, 100, 101, 200, 201])
@pytest.mark.parametrize("size", [(401, 203), (200, 400)])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_reduced_jpeg_is_never_smaller_than_asked(side, size, mode):
    exif = Image.Exif()
    exif[0x0112] = 6
    reduced = open_rgb(encoded(Image.new(mode, size), "JPEG", exif=exif.tobytes()), "x", side)
    assert reduced.mode == "RGB"
    assert min(reduced.size) >= min(side, *size)
    assert reduced.height >= reduced.width if size[0] > size[1] else reduced.width >= reduced.height
    assert min(reduced.size) < max(2 * side + 1, min(size) // 8 + 2)


def test_a_smallest_side_of_zero_is_refused():
    with pytest.raises(ValueError, match="smallest side must be at least 1 pixel, got 0"):
        open_rgb(io.BytesIO(b""), "x", 0)


def test_lab_colors_are_converted():
    profiles = (ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"))
    lab = ImageCms.applyTransform(Image.fromarray(COLORS), ImageCms.buildTransform(*profiles, "RGB", "LAB"))
    np.testing.assert_allclose(pixels(encoded(lab, "TIFF")), COLORS, atol=24)
