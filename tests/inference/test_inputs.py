"""Images in all the forms that users have them in: what one of them gives, all give."""

import io
import threading
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from builders.image_bytes import encoded
from builders.predictors import SCENES, photo, photos, small_predictor
from sycoca.inference.decoding.generation_config import GenerationConfig
from sycoca.inference.inputs import batches_with, image_batch, image_batches, num_images, open_image
from sycoca.preprocess import image_transforms
from sycoca.preprocess.config import ImageTransformConfig
from sycoca.preprocess.image_transforms import inference_image

GRADIENT = np.linspace(0, 1, 40 * 50, dtype=np.float32).reshape(40, 50)

PICTURES = {
    "RGB": photo(50, 40),
    "L": photo(50, 40).convert("L"),
    "RGBA": Image.merge("RGBA", [*photo(50, 40).split(), Image.linear_gradient("L").resize((50, 40))]),
    "LA": Image.merge("LA", [photo(50, 40).convert("L"), Image.linear_gradient("L").resize((50, 40))]),
    "1": photo(50, 40).convert("1"),
    "I;16": Image.fromarray((GRADIENT * 65535).astype(np.uint16)),
    "F": Image.fromarray(GRADIENT),
}


def unchecked(values: list[Any]) -> Iterator[Any]:
    """Yield values past the type checker of the tests, so that the functions themselves have to refuse them."""
    yield from values


@pytest.mark.parametrize("mode", PICTURES)
def test_one_picture_is_the_same_in_every_form(mode: str, tmp_path: Path):
    picture = PICTURES[mode]
    file = encoded(picture, "TIFF" if mode == "F" else "PNG")
    path = tmp_path / "picture"
    path.write_bytes(file.getvalue())
    pixels = np.asarray(picture)
    tensor = torch.from_numpy(pixels.copy())
    with path.open("rb") as opened:
        forms = {
            "PIL": picture,
            "path": path,
            "str": str(path),
            "bytes": file.getvalue(),
            "bytearray": bytearray(file.getvalue()),
            "file": opened,
            "file in memory": file,
            "array": pixels,
            "tensor": tensor.permute(2, 0, 1) if tensor.ndim == 3 else tensor,
            "function": lambda: picture,
        }
        batch = image_batch(list(forms.values()), 16, ImageTransformConfig())
        embeds = small_predictor().embed_images(list(forms.values()))
    for name, own in zip(forms, batch, strict=True):
        assert torch.equal(own, batch[0]), name
    torch.testing.assert_close(embeds, embeds[:1].expand(len(forms), -1))


def test_files_are_read_from_their_beginning_and_stay_open(tmp_path: Path):
    photo().save(tmp_path / "photo.png")
    expected = np.asarray(photo())
    with (tmp_path / "photo.png").open("rb") as file:
        file.read(10)
        for _ in range(2):
            np.testing.assert_array_equal(np.asarray(open_image(file)), expected)
        assert not file.closed
        assert image_batch([file, file, file], 16, ImageTransformConfig()).shape == (3, 3, 16, 16)


class Stream:
    """What a server sends: it can be read once and not go back."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def read(self, _size: int = -1, /) -> bytes:
        content, self._content = self._content, b""
        return content


def test_streams_are_read():
    stream = Stream(encoded(photo(), "PNG").getvalue())
    np.testing.assert_array_equal(np.asarray(open_image(stream)), np.asarray(photo()))


def test_large_jpegs_are_reduced_alike_wherever_they_come_from(tmp_path: Path):
    path = tmp_path / "large.jpg"
    photo(800, 600).save(path)
    whole = small_predictor().embed_images([path, path.read_bytes(), io.BytesIO(path.read_bytes())])
    assert torch.equal(whole[:1].expand(3, -1), whole)
    assert open_image(path.read_bytes(), 64).size == open_image(path, 64).size != (800, 600)


class Undecoded(Image.Image):
    """An image that is decoded when it is first used, as that of a file, and counts who does so at the same time."""

    num_decoding = most_decoding = 0
    is_decoded = False

    def load(self) -> Any:
        if not self.is_decoded:
            Undecoded.num_decoding += 1
            Undecoded.most_decoding = max(Undecoded.most_decoding, Undecoded.num_decoding)
            time.sleep(0.02)
            Undecoded.num_decoding -= 1
            self.is_decoded = True
        return super().load()


class ReadAtOnce(io.BytesIO):
    """A file whose position one thread alone may move."""

    def read(self, size: int | None = -1, /) -> bytes:
        assert threading.current_thread() is threading.main_thread()
        return super().read(size)


def test_threads_share_neither_an_undecoded_image_nor_a_file(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(image_transforms, "image_threads", partial(ThreadPoolExecutor, 4))
    image = photo()
    image.__class__ = Undecoded
    file = ReadAtOnce(encoded(photo(), "PNG").getvalue())
    batch = image_batch([*[image] * 4, *[file] * 4], 16, ImageTransformConfig())
    torch.testing.assert_close(batch, batch[:1].expand(8, -1, -1, -1), rtol=0, atol=0)
    assert Undecoded.most_decoding == 1


def test_a_batch_keeps_the_order():
    transforms = ImageTransformConfig()
    pictures = [photo(seed=seed) for seed in range(9)]
    expected = torch.stack([inference_image(picture, 16, transforms) for picture in pictures])
    torch.testing.assert_close(image_batch(pictures, 16, transforms), expected, rtol=0, atol=0)


def many() -> list[Image.Image]:
    return [photo(32, 32, seed=seed) for seed in range(5)]


def forms_of_many() -> dict[str, Any]:
    stacked = np.stack([np.asarray(one) for one in many()])
    return {
        "list": many(),
        "tuple": tuple(many()),
        "generator": (one for one in many()),
        "map": map(np.asarray, many()),
        "array": stacked,
        "tensor": torch.from_numpy(stacked).permute(0, 3, 1, 2),
        "floats": torch.from_numpy(stacked).permute(0, 3, 1, 2) / 255,
        "list of arrays": list(stacked),
    }


@pytest.mark.parametrize("form", forms_of_many())
def test_many_images_are_the_same_in_every_form(form: str):
    predictor = small_predictor()
    expected = predictor.embed_images(many(), batch_size=2)
    assert torch.equal(predictor.embed_images(forms_of_many()[form], batch_size=2), expected)
    captions = ["a star"] * 5
    expected = predictor.caption_log_likelihood(many(), captions, batch_size=2)
    assert torch.equal(predictor.caption_log_likelihood(forms_of_many()[form], captions, batch_size=2), expected)


def test_paths_in_arrays_and_samples_of_sources_are_many(tmp_path: Path):
    photo().save(tmp_path / "a.png")
    predictor = small_predictor()
    paths = np.array([str(tmp_path / "a.png")] * 2)
    assert torch.equal(predictor.embed_images(paths), predictor.embed_images([photo(), photo()]))
    samples = [SCENES[index] for index in range(len(SCENES))]
    assert torch.equal(predictor.embed_images(SCENES), predictor.embed_images(samples))


@pytest.mark.parametrize("form", ["image", "array", "tensor", "str", "bytes", "function", "sample"])
def test_one_image_gives_one_row(form: str, tmp_path: Path):
    image = photo(32, 32)
    image.save(tmp_path / "a.png")
    one = {
        "image": image,
        "array": np.asarray(image),
        "tensor": torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1),
        "str": str(tmp_path / "a.png"),
        "bytes": (tmp_path / "a.png").read_bytes(),
        "function": lambda: image,
        "sample": SCENES[0],
    }[form]
    predictor = small_predictor()
    assert num_images(one) == 1
    assert torch.equal(predictor.embed_images(one), predictor.embed_images([one]))
    assert predictor.caption(one, max_tokens=3) == predictor.caption([one], max_tokens=3)
    assert predictor.patch_scores(one, ["a star"]).shape == (1, 16)
    assert predictor.explain(one, "a star").caption == "a star"


def test_iterators_are_consumed_once_a_batch_at_a_time():
    taken: list[int] = []

    def images() -> Iterator[Image.Image]:
        for seed in range(7):
            taken.append(seed)
            yield photo(seed=seed)

    batches = image_batches(images(), 3)
    assert taken == []
    assert [(first, len(batch), len(taken)) for first, batch in batches] == [(0, 3, 3), (3, 3, 6), (6, 1, 7)]
    taken.clear()
    predictor = small_predictor(answers=("yes", "no"), model_num_answers=2)
    captions = predictor.generate(images(), GenerationConfig(max_tokens=2), batch_size=3)
    next(captions)
    assert taken == [0, 1, 2]
    assert len(list(captions)) == 6
    taken.clear()
    list(predictor.answers(images(), [[]] * 7, batch_size=3))
    assert taken == list(range(7))


def test_pairs_are_counted_whether_their_number_is_known_or_not():
    images, said = photos(5), "images and captions come in pairs, got"
    assert [(first, len(batch)) for first, batch in batches_with(iter(images), 5, "captions", 2)] == [
        (0, 2),
        (2, 2),
        (4, 1),
    ]
    with pytest.raises(ValueError, match=f"{said} 5 images and 4 captions"):
        next(batches_with(images, 4, "captions", 2))
    with pytest.raises(ValueError, match=f"{said} at least 5 images and 4 captions"):
        list(batches_with(iter(images), 4, "captions", 3))
    with pytest.raises(ValueError, match=f"{said} 5 images and 6 captions"):
        list(batches_with(iter(images), 6, "captions", 2))
    with pytest.raises(ValueError, match=f"{said} 1 images and 2 captions"):
        small_predictor().patch_scores(photo(), ["a", "b"])


class Broken(Image.Image):
    """An image whose file breaks off."""

    def load(self) -> Any:
        raise OSError("image file is truncated")

    size = (4, 4)


BAD: dict[str, tuple[Any, str]] = {
    "None": (None, r"images\[3\]: expected a PIL image, a path, .*, got NoneType"),
    "number": (7, r"images\[3\]: expected a PIL image, .*, got int"),
    "list": ([photo()], r"images\[3\]: expected one image, got a list of them"),
    "no image": (lambda: 3, r"images\[3\]: expected a PIL image, .*, got int"),
    "layout": (np.zeros((3, 8, 8), np.uint8), r"images\[3\] cannot be read as an image: shape \(3, 8, 8\) is not"),
    "NaN": (
        torch.full((3, 4, 4), float("nan")),
        r"images\[3\] cannot be .*: shape \(3, 4, 4\) has 48 values that are N",
    ),
    "range": (np.full((4, 4, 3), 255.0), r"images\[3\] cannot be read as an image: values of shape"),
    "negative": (
        Image.fromarray(np.full((4, 4), -1.0, np.float32)),
        r"images\[3\] cannot .*: its values range from -1",
    ),
    "empty": (Image.new("RGB", (0, 5)), r"images\[3\] cannot be read as an image: it has 0 x 5 pixels$"),
    "empty bytes": (b"", r"images\[3\] cannot be read as an image: it is empty \(0 bytes\)"),
    "web page": (b"<html><body>", r"images\[3\] cannot be read as an image: it is a web page"),
    "text file": (
        io.StringIO("photo"),
        r"images\[3\] cannot be .*: the file is open as text; open it with mode \"rb\"",
    ),
    "truncated": (Broken(), r"images\[3\] cannot be read as an image: image file is truncated"),
    "base64": (
        "data:image/png;base64,iVBORw0KGgo",
        r"images\[3\] is a text of 33 characters and no path; .* base64.b64d",
    ),
    "long text": (
        "iVBORw0KGgo" * 999,
        r"images\[3\] is a text of 10,989 characters and no path; if it is",
    ),
    "no text": ("", r"images\[3\] is an empty text; an image is a PIL image, a path"),
    "no array": (np.array("a.jpg"), r"images\[3\] cannot be read as an image: shape \(\) is not that of an image"),
    "no file": ("nowhere.jpg", r"nowhere\.jpg cannot be read as an image: there is no such file"),
}


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("batch_size", [2, 64])
def test_what_is_no_image_is_named_by_its_index(kind: str, batch_size: int):
    bad, message = BAD[kind]
    with pytest.raises(ValueError, match=message):
        small_predictor().embed_images(unchecked([*photos(3), bad]), batch_size=batch_size)


def test_closed_files_and_lists_without_order_are_refused(tmp_path: Path):
    photo().save(tmp_path / "a.png")
    file = (tmp_path / "a.png").open("rb")
    file.close()
    with pytest.raises(ValueError, match=r"images\[0\] cannot be read as an image: .*closed file"):
        small_predictor().embed_images([file])
    with pytest.raises(ValueError, match="images are a list, got a set, which has no order"):
        image_batches({"a.png", "b.png"}, 2)
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        image_batches(photos(1), 0)


def test_errors_about_an_image_alone_have_no_index():
    array = np.zeros((3, 8, 8), np.uint8)
    with pytest.raises(ValueError, match=r"^the image cannot be read as an image: shape \(3, 8, 8\)"):
        small_predictor().explain(array, "a star")


def test_nothing_warns_about_read_only_arrays():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        open_image(np.asarray(photo()))
