import json
import pickle
import zipfile

import numpy as np
import pytest
from PIL import Image

from sycoca.data.jsonl import JsonlSource
from sycoca.data.samples import Question, SampleSource


def write(path, *rows) -> None:
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf-8")


@pytest.fixture
def photo(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    (tmp_path / "images").mkdir()
    Image.fromarray(pixels).save(tmp_path / "images" / "a.png")
    return pixels


def test_a_line_gives_a_sample(tmp_path, photo):
    row = {
        "image": "images/a.png",
        "captions": ["one", "zwölf"],
        "label": "cat",
        "split": "train",
        "questions": [{"question": "who?", "answer": "she"}],
        "photographer": "unknown fields are no concern of ours",
    }
    write(tmp_path / "x.jsonl", row, "", {"image": "images/a.png", "caption": "three"})
    source = JsonlSource(tmp_path / "x.jsonl")
    assert isinstance(source, SampleSource)
    assert len(source) == 2
    sample = source[0]
    assert sample.captions == ("one", "zwölf")
    assert sample.label == "cat"
    assert sample.questions == (Question(question="who?", answers=("she",)),)
    assert sample.described_pixels is None
    assert np.array_equal(np.asarray(sample.open_image()), photo)
    assert source[1].captions == ("three",)
    assert source[1].label is None


def test_images_may_live_elsewhere_even_in_a_zip_file(tmp_path, photo):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(tmp_path / "images" / "a.png", "inside/a.png")
    write(tmp_path / "x.jsonl", {"image": "inside/a.png", "caption": "x"})
    write(tmp_path / "y.jsonl", {"image": "a.png", "caption": "x"})
    zipped = JsonlSource(tmp_path / "x.jsonl", images=tmp_path / "all.zip")
    beside = JsonlSource(tmp_path / "y.jsonl", images=tmp_path / "images")
    for source in (zipped, beside, pickle.loads(pickle.dumps(zipped))):
        assert np.array_equal(np.asarray(source[0].open_image()), photo)


def test_splits_and_limits(tmp_path):
    rows = [{"image": f"{n}.png", "caption": str(n), "split": "test" if n % 3 else "train"} for n in range(30)]
    write(tmp_path / "x.jsonl", *rows)
    source = JsonlSource(tmp_path / "x.jsonl", split="test")
    assert source.name == "x.jsonl (test)"
    captions = [source[index].captions[0] for index in range(len(source))]
    assert captions == [str(n) for n in range(30) if n % 3]
    limited = JsonlSource(tmp_path / "x.jsonl", split="test", limit=4)
    assert [limited[index].captions[0] for index in range(len(limited))] == captions[:4]
    assert len(JsonlSource(tmp_path / "x.jsonl")) == 30


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", "x.jsonl, line 2: not JSON"),
        ("[1]", 'x.jsonl, line 2: expected {"image": name, "captions": '),
        ({"captions": ["x"]}, 'line 2: expected {"image": name'),
        ({"image": "a.png"}, 'line 2: "captions" must be a list of one or more texts'),
        ({"image": "a.png", "captions": []}, 'line 2: "captions" must be a list of one or more texts'),
        ({"image": "a.png", "captions": "x"}, 'line 2: "captions" must be a list of one or more texts'),
        ({"image": "a.png", "caption": 3}, 'line 2: "captions" must be a list of one or more texts'),
        ({"image": "a.png", "caption": "\ud83d"}, 'line 2: "captions" must be a list of one or more texts'),
        ({"image": "a.png", "caption": "x", "label": 3}, 'line 2: "label" must be a text, got 3'),
        ({"image": "a.png", "caption": "x", "questions": [{"question": "?"}]}, 'line 2: "questions" must be a list'),
        ({"image": "a.png", "caption": "x", "questions": 4}, 'line 2: "questions" must be a list'),
        (
            {"image": "a.png", "caption": "x", "questions": [{"question": "?", "answer": 1}]},
            'line 2: every "question" and "answer" must be a text',
        ),
    ],
)
def test_a_bad_line_is_named(tmp_path, row, message):
    write(tmp_path / "x.jsonl", {"image": "a.png", "caption": "fine"}, row)
    with pytest.raises(ValueError, match=message.replace("[", r"\[")):
        JsonlSource(tmp_path / "x.jsonl")


def test_refuses_empty_files_and_splits_that_are_not_there(tmp_path):
    path = tmp_path / "x.jsonl"
    write(path, "")
    with pytest.raises(ValueError, match=r"x.jsonl has no lines"):
        JsonlSource(path)
    write(path, {"image": "a.png", "caption": "x"})
    with pytest.raises(ValueError, match=r"x.jsonl has no splits .* so \?split=test cannot be taken"):
        JsonlSource(path, split="test")


def test_a_missing_image_is_named(tmp_path):
    write(tmp_path / "x.jsonl", {"image": "gone.png", "caption": "x"})
    with pytest.raises(ValueError, match=r"gone.png cannot be read as an image"):
        JsonlSource(tmp_path / "x.jsonl")[0].open_image()
