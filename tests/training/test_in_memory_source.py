from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from builders.unchecked_shapes import without_shape_checks
from sycoca.data.samples import SampleSource
from sycoca.data.spec import open_source
from sycoca.training.in_memory_source import PairsSource, as_source


def test_pairs_of_pictures_and_paths(tmp_path: Path):
    Image.new("RGB", (3, 2), "red").save(tmp_path / "red.png")
    source = as_source([(Image.new("L", (4, 4), 7), "a gray square"), (tmp_path / "red.png", ["red", "a red field"])])
    assert isinstance(source, SampleSource)
    assert (len(source), source.name) == (2, "pairs")
    assert source[0].captions == ("a gray square",)
    assert source[1].captions == ("red", "a red field")
    assert source[0].open_image().mode == "RGB"
    assert source[1].open_image().getpixel((0, 0)) == (255, 0, 0)


def test_pairs_of_images_in_every_form(tmp_path: Path):
    image = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
    image.save(tmp_path / "a.png")
    array = np.asarray(image)
    with (tmp_path / "a.png").open("rb") as file:
        forms = (array, torch.from_numpy(array.copy()).permute(2, 0, 1), file, (tmp_path / "a.png").read_bytes(), image)
        source = as_source([(form, "a ramp") for form in forms])
    for index in range(len(source)):
        np.testing.assert_array_equal(np.asarray(source[index].open_image(8)), array)


def test_any_iterable_will_do():
    assert len(as_source((Image.new("RGB", (1, 1)), str(number)) for number in range(3))) == 3


def test_source_stays_what_it_is():
    source = open_source("scenes:?count=2&size=16")
    assert as_source(source) is source


def unchecked(pairs: list[Any]) -> Iterator[Any]:
    """Yield pairs past the type checker of the tests, so that the source itself has to refuse them."""
    yield from pairs


def test_bad_captions_are_left_out_and_named():
    def image() -> Image.Image:
        return Image.new("RGB", (2, 2))

    pairs: list[Any] = [(image(), "x"), (image(), []), (image(), ["a dog", " "]), (image(), [3])]
    source = PairsSource(unchecked(pairs), name="mine")
    assert [source[index].key for index in range(len(source))] == ["image 0", "image 2"]
    assert source[1].captions == ("a dog",)
    assert [(skipped.name, skipped.reason) for skipped in source.skipped] == [
        ("image 1, pair 1", "no caption"),
        ("image 2, pair 2", "empty caption"),
        ("image 3, pair 3", "caption is no text"),
    ]
    assert source.skipped[1].detail == 'mine, pair 2: "caption 2" has nothing to read in it; write a text or remove it'


def test_pairs_of_one_path_become_one_sample(tmp_path: Path):
    path = tmp_path / "a.png"
    source = PairsSource([(path, "one"), (path, "two")])
    assert (len(source), source[0].captions) == (1, ("one", "two"))


def test_refuses_what_is_no_image_and_what_leaves_nothing():
    with pytest.raises(ValueError, match=r"^pair 0: expected one image, got a list of them$"):
        PairsSource(unchecked([([[0, 1]], "x")]))
    with pytest.raises(ValueError, match=r"^pair 1: expected a PIL image, a path, .*, got NoneType$"):
        PairsSource(unchecked([("a.png", "x"), (None, "x")]))
    with pytest.raises(ValueError, match=r"^pair 0 cannot be read as an image: shape \(3, 8, 8\) is not"):
        PairsSource([(np.zeros((3, 8, 8), np.uint8), "x")])
    image = Image.new("RGB", (2, 2))
    for pairs, got in (((image, "x"), "Image"), (["a.png", "x"], "str"), ([("a.png", "x", "y")], "3 values")):
        with pytest.raises(ValueError, match=rf"^pair 0: expected \(image, caption\), got {got}"):
            PairsSource(unchecked([*pairs]))
    with without_shape_checks(), pytest.raises(ValueError, match=r"or a source, got 'a.csv'; a SPEC goes into"):
        as_source("a.csv")
    with pytest.raises(ValueError, match=r"^pairs has no samples$"):
        PairsSource([])
    with pytest.raises(ValueError, match=r"^pairs: no pair is usable: pairs, pair 0: \"caption\" has nothing to read"):
        PairsSource([("a.png", "")])
