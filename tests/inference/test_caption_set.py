"""caption_set from Python; the command has tests of its own."""

import json
import logging
from pathlib import Path

import pytest

import sycoca
from builders.predictors import save_small_weights
from builders.twelve_pictures import caption_lines, write_lines, write_pictures
from sycoca.data.image_arguments import open_images
from sycoca.data.spec import open_source
from sycoca.inference.caption_set import ImageCaption
from sycoca.inference.load import load
from sycoca.inference.model_options import ModelOptions
from sycoca.inference.predictor import Predictor

SCENES = "scenes:?split=test&count=5&size=32"


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return load(save_small_weights(tmp_path_factory.mktemp("model") / "weights"), device="cpu")


def read(path: Path) -> list[ImageCaption]:
    return [ImageCaption(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def test_captions_are_returned_and_written(predictor: Predictor, tmp_path: Path):
    found = sycoca.caption_set(predictor, SCENES, out=tmp_path / "out.jsonl", max_tokens=4)
    source = open_source(SCENES)
    assert [one.image for one in found] == [source[index].key for index in range(5)]
    assert [one.caption for one in found] == predictor.caption([source[i] for i in range(5)], max_tokens=4)
    assert read(tmp_path / "out.jsonl") == found == sycoca.caption_set(predictor, source, max_tokens=4)


def test_an_interrupted_call_is_resumed_without_captioning_again(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    out, whole = tmp_path / "out.jsonl", tmp_path / "whole.jsonl"
    model, drawing = ModelOptions(batch_size=2), {"temperature": 1.0, "seed": 3}
    expected = sycoca.caption_set(predictor, SCENES, out=whole, model=model, **drawing)
    generate, captioned = Predictor.generate, []

    def interrupted(self, images, *arguments, **options):
        for number, caption in enumerate(generate(self, images, *arguments, **options)):
            if number == 3:
                raise KeyboardInterrupt
            yield caption

    def counted(self, images, *arguments, **options):
        captioned.extend(images)
        return generate(self, images, *arguments, **options)

    monkeypatch.setattr(Predictor, "generate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sycoca.caption_set(predictor, SCENES, out=out, model=model, **drawing)
    assert read(out) == expected[:3]
    monkeypatch.setattr(Predictor, "generate", counted)
    caplog.set_level(logging.INFO, "sycoca")
    found = sycoca.caption_set(predictor, SCENES, out=out, resume=True, model=model, **drawing)
    assert len(captioned) == 2
    assert f"{out} has 3 of 5 captions" in caplog.messages
    assert [one.caption for one in found] == [one.caption for one in expected]
    assert read(out) == found


def test_what_cannot_be_read_is_left_out_logged_and_named(
    predictor: Predictor, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    write_pictures(tmp_path)
    pictures = write_lines(tmp_path / "captions.jsonl", caption_lines())
    broken = str(caption_lines()[4]["image"])
    (tmp_path / broken).write_text("no picture")
    caplog.set_level(logging.INFO, "sycoca")
    out = tmp_path / "out.jsonl"
    found = sycoca.caption_set(predictor, str(pictures), out=out, max_skipped_ratio=0.1, max_tokens=3)
    assert broken not in [one.image for one in found]
    assert len(found) == 11
    assert [(record.levelname, record.getMessage()[:9]) for record in caplog.records] == [
        ("INFO", "skipped: "),
        ("WARNING", "1 of 12 s"),
    ]
    assert broken in (tmp_path / "out.jsonl.skipped.jsonl").read_text(encoding="utf-8")


def test_a_file_is_never_overwritten_or_mixed(predictor: Predictor, tmp_path: Path):
    out = tmp_path / "out.jsonl"
    sycoca.caption_set(predictor, SCENES, out=out, max_tokens=2)
    before = out.read_bytes()
    with pytest.raises(ValueError, match="is there already"):
        sycoca.caption_set(predictor, SCENES, out=out)
    with pytest.raises(ValueError, match="line 1 is not about image"):
        sycoca.caption_set(predictor, "scenes:?split=train&count=9&size=32", out=out, resume=True, max_tokens=2)
    assert out.read_bytes() == before
    out.write_text('{"image": "' + open_source(SCENES)[0].key + '"}\n', encoding="utf-8")
    with pytest.raises(ValueError, match="has a line that is no caption"):
        sycoca.caption_set(predictor, SCENES, out=out, resume=True, max_tokens=2)


def test_images_are_a_list_a_folder_a_spec_or_a_source(tmp_path: Path):
    write_pictures(tmp_path)
    source = open_source(SCENES)
    assert open_images(source) is source
    folder = open_images(tmp_path)
    assert len(folder) == 12
    assert [open_images([folder[0].key, folder[3].key])[i].key for i in (0, 1)] == [folder[0].key, folder[3].key]
    assert len(open_images(SCENES)) == 5
