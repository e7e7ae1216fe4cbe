"""Every kind of bad image file as a reason with a remedy."""

import io
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from builders.image_bytes import encoded, png
from sycoca.preprocess import decoding
from sycoca.preprocess.decoding import open_rgb
from sycoca.unusable import UnusableSampleError


def refused(file: io.BytesIO | Path | str, name: str | None = None) -> UnusableSampleError:
    with pytest.raises(UnusableSampleError) as caught:
        open_rgb(file, name)
    assert str(caught.value).startswith(f"{name or file} cannot be read as an image: ")
    assert "\n" not in str(caught.value)
    assert caught.value.skipped.name == (name or str(file))
    return caught.value


def reason(file: io.BytesIO | Path | str, name: str | None = None) -> str:
    return refused(file, name).skipped.reason


def test_missing_files_and_non_files(tmp_path):
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    assert reason(tmp_path / "gone.png") == "missing image"
    assert "there is no such file; check the name and the images folder" in str(refused(tmp_path / "gone.png"))
    (tmp_path / "file").write_bytes(b"x")
    assert reason(tmp_path / "file" / "x.png") == "missing image"
    assert "it is a folder; name an image file" in str(refused(tmp_path / "folder.png"))
    assert "it is a pipe or device" in str(refused(tmp_path / "pipe.png"))
    for name in ("a\0b.png", "a" * 300 + ".png", "\ud800.png"):
        assert reason(f"{tmp_path}/{name}") == "unreadable file"


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="who may read everything cannot be refused")
def test_a_file_without_access_is_unreadable(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "x.png")
    (tmp_path / "x.png").chmod(0)
    assert "Permission denied; grant access" in str(refused(tmp_path / "x.png"))


def test_permission_errors_while_opening_are_unreadable(tmp_path, monkeypatch):
    def refuse(*_args: object, **_kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "x.png").write_bytes(b"x")
    monkeypatch.setattr(Image, "open", refuse)
    assert reason(tmp_path / "x.png") == "unreadable file"


def test_empty_small_and_large(tmp_path, monkeypatch):
    assert reason(io.BytesIO(b""), "x") == "empty file"
    for size in ((1, 1), (1, 50), (50, 1)):
        assert reason(encoded(Image.new("RGB", size), "PNG"), "x") == "image too small"
    assert open_rgb(encoded(Image.new("RGB", (2, 2)), "PNG"), "x").size == (2, 2)
    file = encoded(Image.new("RGB", (30, 40)), "PNG")
    monkeypatch.setenv("SYCOCA_MAX_DECODED_BYTES", "4799")
    assert str(refused(file, "x")) == (
        "x cannot be read as an image: it has 30 x 40 pixels (RGB), which take 4,800 bytes to decode; store it smaller;"
        " the limit is 4,799 bytes of memory to decode one image; SYCOCA_MAX_DECODED_BYTES sets another"
    )
    monkeypatch.setenv("SYCOCA_MAX_DECODED_BYTES", "4800")
    assert open_rgb(file, "x").size == (30, 40)
    with (tmp_path / "sparse.jpg").open("wb") as sparse:
        sparse.truncate(256 * 2**20 + 1)
    assert reason(tmp_path / "sparse.jpg") == "file too large"
    assert "it has 268,435,457 bytes; the limit is 268,435,456 bytes of an image file;" in str(
        refused(tmp_path / "sparse.jpg")
    )
    monkeypatch.setenv("SYCOCA_MAX_IMAGE_FILE_BYTES", "10")
    assert reason(file, "x") == "file too large"


@pytest.mark.parametrize("size", [(30_000, 30_000), (10_000, 9_000)])
def test_bombs_are_refused_unopened_and_without_a_warning(size):
    bomb = png(0, 8, [b""], size=size)
    with warnings.catch_warnings(record=True) as heard:
        warnings.resetwarnings()
        warnings.filterwarnings("ignore", module=r"PIL\.")  # as the module does; pytest takes filters away
        error = refused(bomb, "bomb.png")
    assert error.skipped.reason == "image too large"
    assert f"{size[0] * size[1]:,}" in str(error) or f"{size[0]:,} x {size[1]:,}" in str(error)
    assert heard == []


def test_warnings_of_pil_are_silenced_where_the_module_is_imported():
    code = (
        "import io, warnings, sycoca.preprocess.decoding\n"
        "exec(compile('import warnings; warnings.warn(\"x\")', 'f', 'exec'), {'__name__': 'PIL.Image'})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_an_image_that_exceeds_memory_is_too_large(monkeypatch):
    def fail(*_args: object) -> None:
        raise MemoryError

    monkeypatch.setattr(decoding, "to_rgb", fail)
    assert reason(encoded(Image.new("RGB", (4, 4)), "PNG"), "x") == "image too large"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<!DOCTYPE html><html>", "it is a web page, as servers send in place of a lost image"),
        (b"\xef\xbb\xbf\n <HTML>", "it is a web page"),
        (b"<svg xmlns", "it is an SVG drawing"),
        (b"%PDF-1.4", "it is a PDF document"),
        (b"PK\x03\x04", "it is a zip file"),
        (b"version https://git-lfs.github.com/spec/v1", "it is a Git LFS pointer"),
        (b"\0\0\0\x1cftypheic....", "it is an image or video of kind heic"),
        (b"nothing", "it begins with b'nothing'"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "it begins with b'%!PS-Adobe-3'"),
    ],
)
def test_other_file_types_are_named_in_the_error(content, said, tmp_path):
    (tmp_path / "x.jpg").write_bytes(content)
    for error in (refused(tmp_path / "x.jpg"), refused(io.BytesIO(content), "x.jpg")):
        assert error.skipped.reason == "not an image"
        assert said in str(error)
        assert str(error).endswith("; JPEG, PNG, WEBP, GIF, TIFF and BMP are read")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
def test_truncated_files_are_broken(kind):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    data = encoded(noise, kind).getvalue()
    assert reason(io.BytesIO(data[: len(data) // 2]), "x") == "broken image"
    assert reason(io.BytesIO(data[:13]), "x") == "broken image"


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_metadata_that_cannot_be_read_costs_no_image(kind):
    image = Image.linear_gradient("L").convert("RGB")
    file = encoded(image, kind, lossless=True, exif=b"\0\x08\0\x02 no metadata")
    with pytest.raises(SyntaxError, match="not a TIFF file"):
        Image.open(file).getexif()
    np.testing.assert_array_equal(np.asarray(open_rgb(file)), np.asarray(image))


def test_long_texts_and_profiles_cost_no_image():
    image = Image.linear_gradient("L").convert("RGB")
    texts = PngInfo()
    texts.add_text("workflow", "x" * 2**21, zip=True)
    file = encoded(image, "PNG", pnginfo=texts, icc_profile=bytes(2**21))
    np.testing.assert_array_equal(np.asarray(open_rgb(file)), np.asarray(image))
    texts.add_text("bomb", "x" * 2**26 + "x", zip=True)
    assert reason(encoded(image, "PNG", pnginfo=texts), "x") == "broken image"


def test_a_wrong_checksum_is_broken():
    data = bytearray(encoded(Image.new("RGB", (4, 4), "red"), "PNG").getvalue())
    data[29] ^= 1
    assert reason(io.BytesIO(data), "x") == "broken image"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("IMG.jpg", "there is 'img.JPG', which differs in upper and lower case; name it so"),
        ("http://x.org/a.jpg", "it is a web address, and nothing is fetched; download the images first"),
        ("https:/x.org/a.jpg", "it is a web address"),
        ("gone.jpg", "there is no such file; check the name and the images folder"),
    ],
)
def test_a_missing_file_may_be_close(tmp_path, name, hint):
    (tmp_path / "img.JPG").write_bytes(b"x")
    with pytest.raises(UnusableSampleError, match=re.escape(hint)) as caught:
        open_rgb(f"{tmp_path}/{name}")
    assert caught.value.skipped.reason == "missing image"
