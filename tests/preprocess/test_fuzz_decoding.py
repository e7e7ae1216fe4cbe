"""Damaged files of every kind."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from builders.image_bytes import encoded
from sycoca.preprocess.decoding import open_rgb
from sycoca.unusable import UnusableSampleError


def small_files() -> list[bytes]:
    noise = np.random.default_rng(0).integers(0, 256, (12, 10, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    exif = Image.Exif()
    exif[0x0112] = 6
    moving = {"save_all": True, "append_images": [image.rotate(90)]}
    return [
        encoded(image, "JPEG", exif=exif).getvalue(),
        encoded(image, "JPEG", progressive=True).getvalue(),
        encoded(image.convert("CMYK"), "JPEG").getvalue(),
        encoded(image, "PNG", exif=exif).getvalue(),
        encoded(image.convert("P"), "PNG", transparency=3).getvalue(),
        encoded(image, "GIF", **moving).getvalue(),
        encoded(image, "WEBP", **moving).getvalue(),
        encoded(image, "TIFF", compression="tiff_lzw", exif=exif).getvalue(),
        encoded(image.convert("F"), "TIFF").getvalue(),
        encoded(image, "BMP").getvalue(),
        encoded(image.convert("P"), "BMP").getvalue(),
    ]


SMALL_FILES = small_files()


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=400)
@given(data=st.data())
def test_changed_bytes_give_an_image_or_a_reason(data):
    content = bytearray(data.draw(st.sampled_from(SMALL_FILES)))
    places = st.integers(0, len(content) - 1)
    for place, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=6)):
        content[place] = value
    content = content[: data.draw(st.one_of(st.just(len(content)), places))]
    side = data.draw(st.sampled_from([None, 1, 5]))
    try:
        image = open_rgb(io.BytesIO(content), "x", side)
    except UnusableSampleError:
        return
    else:
        assert image.mode == "RGB"
        assert min(image.size) >= 1
