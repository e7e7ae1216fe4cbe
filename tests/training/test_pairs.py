from pathlib import Path

import pytest
from PIL import Image

from sycoca.data.samples import SampleSource
from sycoca.data.spec import open_source
from sycoca.training.pairs import PairsSource, as_source


def test_pairs_of_pictures_and_paths(tmp_path: Path):
    Image.new("RGB", (3, 2), "red").save(tmp_path / "red.png")
    source = as_source([(Image.new("L", (4, 4), 7), "a gray square"), (tmp_path / "red.png", ["red", "a red field"])])
    assert isinstance(source, SampleSource)
    assert (len(source), source.name) == (2, "pairs")
    assert source[0].captions == ("a gray square",)
    assert source[1].captions == ("red", "a red field")
    assert source[0].open_image().mode == "RGB"
    assert source[1].open_image().getpixel((0, 0)) == (255, 0, 0)


def test_any_iterable_will_do():
    assert len(as_source((Image.new("RGB", (1, 1)), str(number)) for number in range(3))) == 3


def test_source_stays_what_it_is():
    source = open_source("scenes:?count=2&size=16")
    assert as_source(source) is source


def test_image_without_caption_is_refused():
    with pytest.raises(ValueError, match="pair 1 has no caption"):
        PairsSource([(Image.new("RGB", (1, 1)), "x"), (Image.new("RGB", (1, 1)), [])])
