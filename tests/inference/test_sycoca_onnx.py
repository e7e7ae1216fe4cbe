"""The exported script's own steps, without graphs: pictures and texts as sycoca prepares them, whoever reads them."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from builders.image_bytes import encoded, png
from builders.predictors import photo, small_predictor
from sycoca.inference.inputs import image_batch
from sycoca.inference.onnx_export.folder import write_companions
from sycoca.inference.onnx_export.graphs import graphs_of
from sycoca.inference.onnx_export.sycoca_onnx import Model, clean_text
from sycoca.inference.predictor import Predictor
from sycoca.preprocess.clip_vocabulary import ClipPad
from sycoca.preprocess.config import ImageTransformConfig
from sycoca.preprocess.tokenizer import Tokenizer

RED_HALF = Image.merge("RGBA", [*photo(37, 50).split(), Image.linear_gradient("L").resize((37, 50))])


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def gray(values: np.ndarray) -> Image.Image:
    return Image.fromarray(values)


GRADIENT = np.linspace(0, 1, 30 * 44, dtype=np.float32).reshape(30, 44)

FILES = {
    "color": encoded(photo(61, 33), "PNG"),
    "jpeg": encoded(photo(61, 33), "JPEG"),
    "large jpeg": encoded(photo(901, 640), "JPEG"),
    "large gray jpeg": encoded(photo(640, 901).convert("L"), "JPEG"),
    "right size": encoded(photo(32, 32), "PNG"),
    "two pixels high": encoded(photo(90, 2), "PNG"),
    "gray": encoded(photo(40, 61).convert("L"), "PNG"),
    "gray with alpha": encoded(RED_HALF.convert("LA"), "PNG"),
    "alpha": encoded(RED_HALF, "PNG"),
    "opaque alpha": encoded(photo().convert("RGBA"), "PNG"),
    "one bit": encoded(photo().convert("1"), "PNG"),
    "palette": encoded(photo().convert("P"), "GIF"),
    "transparent palette": encoded(photo().quantize(9), "PNG", transparency=3),
    "transparent color": encoded(Image.new("RGB", (9, 7), (1, 2, 3)), "PNG", transparency=(1, 2, 3)),
    "inks": encoded(photo().convert("CMYK"), "JPEG"),
    "16 bits": encoded(gray((GRADIENT * 65535).astype(np.uint16)), "PNG"),
    "16 bits, one transparent": png(0, 16, [b"\x01\x02\xff\xff\x01\x02"] * 3, (b"tRNS", b"\x01\x02"), size=(3, 3)),
    "floats": encoded(gray(GRADIENT), "TIFF"),
    "floats of 8 bits": encoded(gray(GRADIENT * 255), "TIFF"),
    "broken metadata": encoded(photo(), "PNG", exif=b"no metadata"),
    **{f"turned {turn}": encoded(photo(70, 41), "JPEG", exif=exif(turn)) for turn in range(1, 9)},
}


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return small_predictor()


def script_of(predictor: Predictor, folder: Path) -> Model:
    write_companions(predictor, graphs_of(predictor.model), folder)
    return Model(folder)


@pytest.mark.parametrize("resize", ["crop", "squash"])
def test_pictures_are_prepared_bit_for_bit_as_ours(tmp_path: Path, resize: str):
    transforms = ImageTransformConfig(resize=resize, mean=(0.1, 0.2, 0.3), std=(0.9, 0.8, 0.7))
    script = script_of(small_predictor(transforms=transforms), tmp_path)
    paths = [tmp_path / name for name in FILES]
    for path, file in zip(paths, FILES.values(), strict=True):
        path.write_bytes(file.getvalue())
    found, expected = script.pixels(paths), image_batch(paths, 32, transforms).numpy()
    for name, own, theirs in zip(FILES, found, expected, strict=True):
        np.testing.assert_array_equal(own, theirs, err_msg=name)
    opened = [photo(70, 1), photo(1, 9).convert("LA"), photo(64, 64)]
    np.testing.assert_array_equal(script.pixels(opened), image_batch(opened, 32, transforms).numpy())


def test_texts_are_the_same_tokens(predictor: Predictor, tmp_path: Path):
    script = script_of(predictor, tmp_path)
    for text in ("a red circle", "<bos> A\n\nSTAR ", "", "naïve 😀 東京", "a pink square " * 30):
        assert script.token_ids(text) == predictor.tokenizer.encode(text, predictor.context_length)


@pytest.mark.parametrize("pad", ["own", "zero"])
def test_clips_tokens_and_words_are_the_same(predictor: Predictor, tmp_path: Path, pad: ClipPad):
    tokenizer = Tokenizer.clip(pad=pad)
    script = script_of(Predictor(predictor.model, tokenizer, predictor.config), tmp_path)
    assert script.config["text_cleaning"] == "clip_ftfy"
    assert script.config["pad_id"] == tokenizer.special.pad_id
    for text in (
        "A dog, isn't it?",
        "<|endoftext|> 2024!!",
        "fish &amp;amp; chips",
        "cafÃ© naïve 東京 😀 ﬁsh",
        "x " * 40,
    ):
        ids = tokenizer.encode(text, predictor.context_length)
        assert script.token_ids(text) == ids
        assert script._text(ids[1:-1]) == tokenizer.decode(ids[1:-1])


@pytest.mark.parametrize("cleaning", ["clip", "clip_ftfy"])
def test_texts_for_clip_are_cleaned(cleaning: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ftfy", SimpleNamespace(fix_text=lambda text: text.replace("cafÃ©", "café")))
    assert clean_text(" A\tDog ", cleaning) == "a dog"
    assert clean_text("fish &amp;amp; chips", cleaning) == "fish & chips"
    assert clean_text("A cafÃ©", cleaning) == ("a café" if cleaning == "clip_ftfy" else "a cafã©")
    monkeypatch.setitem(sys.modules, "ftfy", None)
    assert clean_text("A dog", cleaning) == "a dog"


def test_cleaning_is_what_the_config_says(predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    script = script_of(predictor, tmp_path)
    assert script.config["text_cleaning"] == "none"
    assert clean_text(" A &amp; b", "none") == " A &amp; b"
    script.config["text_cleaning"] = "clip"
    assert script.token_ids("&lt;b&gt;") == predictor.tokenizer.encode("<b>", 28)
    with pytest.raises(ValueError, match="text_cleaning must be none, clip or clip_ftfy, got 'lower'"):
        clean_text("a", "lower")
    monkeypatch.setitem(sys.modules, "ftfy", None)
    with pytest.raises(ImportError, match="ftfy"):
        clean_text("é", "clip_ftfy")


def test_wrong_use_is_told(predictor: Predictor, tmp_path: Path):
    script = script_of(predictor, tmp_path)
    for name, content, problem in (
        ("broken.jpg", FILES["jpeg"].getvalue()[:200], "cannot be read as an image: "),
        ("pixel.png", encoded(photo(5, 1), "PNG").getvalue(), "cannot be read as an image: it has 5 x 1 pixels"),
        ("minus.tif", encoded(gray(GRADIENT - 9), "TIFF").getvalue(), "its values reach from -9 to -8; save it with 8"),
        ("letter.txt", b"a dog", "cannot be read as an image: "),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name} cannot be read as an image") as caught:
            script.pixels([tmp_path / name])
        assert problem in str(caught.value)
    with pytest.raises(ValueError, match="expected a list, got one str; put it in brackets"):
        script.embed_texts("a dog")
    with pytest.raises(ValueError, match="expected a list, got one str; put it in brackets"):
        Model(tmp_path, "CPUExecutionProvider")
    for limits in ({"max_tokens": 27}, {"max_tokens": 0, "min_tokens": 0}, {"min_tokens": -1}, {"min_tokens": 27}):
        with pytest.raises(ValueError, match="captions have at most 26 tokens, asked for are"):
            script.caption([photo()], **limits)
    config = {**json.loads((tmp_path / "config.json").read_text()), "format_version": 2}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"has format_version 2, not 1; use its own sycoca_onnx\.py"):
        Model(tmp_path)


def test_weights_that_have_diverged_are_told(predictor: Predictor, tmp_path: Path):
    script = script_of(predictor, tmp_path)
    logits = np.zeros((2, 5), np.float32)
    logits[1, 4] = np.nan
    with pytest.raises(ValueError, match="predicts NaN"):
        script._most_probable(logits, may_end=True)
