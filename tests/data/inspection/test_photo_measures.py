import numpy as np
import pytest
from PIL import Image, ImageFilter

from sycoca.data.inspection.photo_measures import SHORTER_SIDE, photo_measures


def gray(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels.astype(np.uint8))


def noise(height: int = 64, width: int = 96) -> Image.Image:
    return gray(np.random.default_rng(0).integers(0, 256, (height, width)))


def texture(side: int = SHORTER_SIDE) -> Image.Image:
    """Return a picture with the spectrum of sharp photos: sharp edges of many sizes."""
    rng, image = np.random.default_rng(1), Image.new("L", (side, side), 120)
    for _ in range(150):
        left, top, width, height = rng.integers(0, side, 4)
        image.paste(int(rng.integers(256)), (int(left), int(top), int(left + width // 6), int(top + height // 6)))
    return image


def moved(image: Image.Image, rows: int, columns: int) -> Image.Image:
    """Return the picture as a camera sees it that moves by so many pixels."""
    steps = max(abs(rows), abs(columns)) + 1
    pixels = np.asarray(image, dtype=float)
    shifts = [(round(rows * i / (steps - 1)), round(columns * i / (steps - 1))) for i in range(steps)]
    return gray(np.mean([np.roll(pixels, shift, (0, 1)) for shift in shifts], axis=0))


def sharpness(image: Image.Image) -> float:
    found = photo_measures(image).sharpness
    assert found is not None
    return found


def test_levels_worked_by_hand():
    pixels = np.repeat(np.arange(100, 200, dtype=np.uint8), 10).reshape(40, 25)
    measures = photo_measures(gray(pixels))
    # Of 1,000 pixels the 950th in order has level 194, the 250th 124.
    assert (measures.dark_level, measures.bright_level) == (194, 124)


def test_noise_has_the_sharpness_of_its_theory():
    # Differences of independent values have twice their variance, second differences six times.
    assert sharpness(noise()) == pytest.approx(3, abs=0.15)


def test_sharpness_worked_by_hand():
    pixels = np.tile(np.array([0, 10, 20, 10], dtype=np.uint8), (8, 4))
    # Steps of 10 along each row; its changes are 0 and 20 in turn. Columns are uniform, so they do not count.
    changes = np.diff(np.diff(pixels.astype(float), axis=1), axis=1)
    assert sharpness(gray(pixels)) == pytest.approx((changes**2).mean() / 100)


@pytest.mark.parametrize(("rows", "columns"), [(0, 9), (9, 0), (9, 9), (9, -9)])
def test_motion_in_any_direction_counts_as_blur(rows: int, columns: int):
    assert sharpness(texture()) > 0.8
    assert sharpness(moved(texture(), rows, columns)) < 0.5


def test_blur_counts_whatever_the_contrast_and_the_size():
    blurred = texture().filter(ImageFilter.GaussianBlur(3))
    faint = blurred.point([level // 4 + 100 for level in range(256)])
    assert max(sharpness(blurred), sharpness(faint)) < 0.5
    # Twice the size with twice the blur: as sharp as before, at the size that models see.
    large = texture(2 * SHORTER_SIDE).filter(ImageFilter.GaussianBlur(1))
    assert sharpness(large) > 0.8


def test_a_uniform_picture_has_no_sharpness_and_no_information():
    measures = photo_measures(Image.new("L", (40, 30), 90))
    assert (measures.sharpness, str(measures.information)) == (None, "0.0")  # and not -0.0


def test_a_picture_of_two_pixels_is_measured():
    measures = photo_measures(gray(np.array([[0, 255], [0, 255]])))
    assert (measures.sharpness, measures.dark_level, measures.information) == (None, 255, 0.0)


def test_information_worked_by_hand():
    # Differences are 0 and 100 in turn, each with probability 1/2: one bit.
    pixels = np.tile(np.array([0, 0, 100, 100, 0], dtype=np.uint8), (9, 1))
    assert photo_measures(gray(pixels)).information == pytest.approx(1)
    assert photo_measures(noise()).information > 6
