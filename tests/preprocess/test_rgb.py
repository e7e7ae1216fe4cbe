import numpy as np
import pytest
from PIL import Image

from sycoca.preprocess import rgb
from sycoca.preprocess.rgb import to_rgb

WHITE = (255, 255, 255, 255)


def at_once(image: Image.Image) -> Image.Image:
    """Convert a whole image at once, in float64."""
    if image.mode in ("F", "I", "I;16"):
        values = np.asarray(image, dtype=np.float64)
        factor = 1 / 257 if image.mode != "F" else 255.0 if values.max() <= 1 else 1.0
        return Image.fromarray((values * factor).round().astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA"):
        own = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", own.size, WHITE), own).convert("RGB")
    return image.convert("RGB")


def random_image(mode: str) -> Image.Image:
    generator = np.random.default_rng(0)
    shape = (37, 23)
    match mode:
        case "F":
            return Image.fromarray(generator.random(shape, np.float32))
        case "I;16":
            return Image.fromarray(generator.integers(0, 2**16, shape).astype(np.uint16))
        case "I":
            return Image.fromarray(generator.integers(0, 2**16, shape).astype(np.int32))
        case _:
            bands = generator.integers(0, 256, (*shape, 4)).astype(np.uint8)
            return Image.fromarray(bands).convert(mode)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "YCbCr", "I;16", "I", "F"])
def test_strips_give_what_the_whole_image_gives(mode, monkeypatch):
    monkeypatch.setattr(rgb, "_PIXELS_OF_STRIP", 23 * 5)
    image = random_image(mode)
    np.testing.assert_array_equal(np.asarray(to_rgb(image)), np.asarray(at_once(image)))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "I;16"])
def test_an_image_that_is_turned_is_the_turned_image(mode):
    image = random_image(mode)
    upright = to_rgb(image).transpose(Image.Transpose.ROTATE_270)
    image.getexif()[0x0112] = 6
    np.testing.assert_array_equal(np.asarray(to_rgb(image)), np.asarray(upright))


def test_one_value_out_of_range_is_found_in_any_strip(monkeypatch):
    monkeypatch.setattr(rgb, "_PIXELS_OF_STRIP", 23)
    values = np.zeros((37, 23), np.float32)
    for bad in (np.nan, -1.0, 300.0):
        values[20, 3] = bad
        with pytest.raises(ValueError, match="its values range from"):
            to_rgb(Image.fromarray(values))
