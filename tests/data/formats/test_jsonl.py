import gzip
import json
import pickle
import zipfile

import numpy as np
import pytest
from PIL import Image

from sycoca.data.formats.jsonl import open_jsonl
from sycoca.data.formats.rows import Columns
from sycoca.data.samples import Question, SampleSource, skipped_samples
from sycoca.data.selection import Selection
from sycoca.data.spec import open_source


def write(path, *rows) -> None:
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf-8")


@pytest.fixture
def photo(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    (tmp_path / "images").mkdir()
    Image.fromarray(pixels).save(tmp_path / "images" / "a.png")
    return pixels


def test_lines_of_one_image_give_one_sample(tmp_path, photo):
    row = {
        "image": "images/a.png",
        "captions": ["one", "zwölf"],
        "label": "cat",
        "split": "train",
        "questions": [{"question": "who?", "answer": "she"}],
        "photographer": "unknown fields are no concern of ours",
    }
    write(
        tmp_path / "x.jsonl",
        row,
        "",
        {"image": "b.png", "caption": "other", "label": 3},
        {"image": "images/a.png", "caption": "three"},
        {"image": "images/a.png", "question": "how many?", "answers": [3, "three"], "question_type": "how many"},
    )
    source = open_jsonl(tmp_path / "x.jsonl")
    assert isinstance(source, SampleSource)
    assert source.name == "x.jsonl"
    assert source.skipped == []
    assert [source[index].key for index in range(len(source))] == ["images/a.png", "b.png"]
    sample = source[0]
    assert sample.captions == ("one", "zwölf", "three")
    assert sample.label == "cat"
    assert sample.questions == (
        Question(question="who?", answers=("she",)),
        Question(question="how many?", answers=("3", "three"), question_type="how many"),
    )
    assert sample.described_pixels is None
    assert np.array_equal(np.asarray(sample.open_image()), photo)
    assert (source[1].captions, source[1].label) == (("other",), "3")


def test_one_list_holds_what_the_lines_would(tmp_path):
    """BLIP's and VizWiz's files are lists, whose captions and answers are as in lines."""
    answers = [{"answer": "soda", "answer_confidence": "yes"}, {"answer": "can", "answer_confidence": "maybe"}]
    asked = {"image": "b.jpg", "question": "what?", "answers": answers, "question_id": 7.0}
    rows = [{"image": "a.jpg", "caption": ["a dog", "a pup"]}, 3, asked]
    path = tmp_path / "val.json"
    path.write_bytes(b"\xef\xbb\xbf\n " + json.dumps(rows, indent=4).encode())
    source = open_source(f"jsonl:{path}")
    assert [sample.key for sample in source] == ["a.jpg", "b.jpg"]
    assert source[0].captions == ("a dog", "a pup")
    assert source[1].questions == (Question(question="what?", answers=("soda", "can"), key="7"),)
    assert skipped_samples(source)[0].detail == f'{path}, entry 2: expected {{"image": name, "captions": [..]}}, got 3'
    path.write_text('[1]\n{"image": "a.jpg", "caption": "a dog"}\n')
    assert [sample.key for sample in open_source(f"jsonl:{path}")] == ["a.jpg"]
    with pytest.raises(ValueError, match=r"or jsonl:.*val\.json for a list"):
        open_source(str(path))


def test_images_may_live_elsewhere_even_in_a_zip_file(tmp_path, photo):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(tmp_path / "images" / "a.png", "inside/a.png")
    write(tmp_path / "x.jsonl", {"image": "inside/a.png", "caption": "x"})
    write(tmp_path / "y.jsonl", {"image": "a.png", "caption": "x"})
    zipped = open_jsonl(tmp_path / "x.jsonl", images=tmp_path / "all.zip")
    beside = open_jsonl(tmp_path / "y.jsonl", images=tmp_path / "images")
    for source in (zipped, beside, pickle.loads(pickle.dumps(zipped))):
        assert np.array_equal(np.asarray(source[0].open_image()), photo)


def test_splits_and_limits(tmp_path):
    rows = [{"image": f"{n}.png", "caption": str(n), "split": "test" if n % 3 else "train"} for n in range(30)]
    write(tmp_path / "x.jsonl", *rows)
    source = open_jsonl(tmp_path / "x.jsonl", wanted=Selection(split="test"))
    assert source.name == "x.jsonl (test)"
    captions = [source[index].captions[0] for index in range(len(source))]
    assert captions == [str(n) for n in range(30) if n % 3]
    limited = open_jsonl(tmp_path / "x.jsonl", wanted=Selection(split="test", limit=4))
    assert [limited[index].captions[0] for index in range(len(limited))] == captions[:4]
    assert len(open_jsonl(tmp_path / "x.jsonl")) == 30


@pytest.mark.parametrize(
    ("row", "name", "reason", "detail"),
    [
        ("{", "FILE", "malformed row", "not JSON: Expecting property name"),
        ("[" * 100_000, "FILE", "malformed row", "not JSON: "),
        ("[1]", "FILE", "malformed row", 'expected {"image": name, "captions": [..]}, got [1]'),
        (
            {"file": "a.png", "captions": ["x"]},
            "FILE",
            "no image name",
            'no "image" (it has "file", "captions"); name the field that holds it with ?image=NAME',
        ),
        ({"image": 3, "caption": "x"}, "FILE", "no image name", '"image" must be the name of an image file, got 3'),
        ({"image": " ", "caption": "x"}, "FILE", "no image name", "must be the name of an image file, got ' '"),
        ({"image": "\ud83d", "caption": "x"}, "FILE", "no image name", "of an image file, got '\\ud83d'"),
        ({"image": "b.png"}, "b.png", "no caption", 'no "caption" or "captions"; write one, or name the field'),
        ({"image": "b.png", "captions": []}, "b.png", "no caption", 'no "caption" or "captions"; write one'),
        ({"image": "b.png", "caption": None, "label": "x"}, "b.png", "no caption", 'no "caption" or "captions"'),
        ({"image": "b.png", "captions": [None]}, "b.png", "no caption", '"caption" is null; write a text or remove it'),
        ({"image": "b.png", "caption": ""}, "b.png", "empty caption", '"caption" has nothing to read in it'),
        ({"image": "b.png", "caption": " \t\u200b\u0007"}, "b.png", "empty caption", "has nothing to read in it"),
        ({"image": "b.png", "caption": 3}, "b.png", "caption is no text", '"caption" must be a text, got 3'),
        ({"image": "b.png", "caption": {"en": "x"}}, "b.png", "caption is no text", "must be a text, got {'en': 'x'}"),
        ({"image": "b.png", "caption": "\ud83d"}, "b.png", "caption is no text", "must be a text, got '\\ud83d'"),
        (
            {"image": "b.png", "caption": "x", "label": [3]},
            "b.png",
            "malformed row",
            '"label" must be a text or a whole',
        ),
        (
            {"image": "a.png", "caption": "x", "label": "dog"},
            "a.png",
            "malformed row",
            "an earlier row of the image says",
        ),
        ({"image": "b.png", "caption": "x", "split": 1.5}, "b.png", "malformed row", '"split" must be a text, got 1.5'),
        (
            {"image": "b.png", "questions": 4},
            "FILE",
            "malformed row",
            '"questions" must be a list of {"question": text',
        ),
        (
            {"image": "b.png", "questions": [4]},
            "FILE",
            "malformed row",
            '"questions" must be a list of {"question": text',
        ),
        ({"image": "b.png", "answer": "x"}, "b.png", "no question", 'an answer, but no "question"; ask one'),
        ({"image": "b.png", "question": " ", "answer": "x"}, "b.png", "no question", "has nothing to read in it"),
        (
            {"image": "b.png", "question": 5, "answer": "x"},
            "b.png",
            "malformed row",
            '"question" must be a text, got 5',
        ),
        ({"image": "b.png", "question": "?"}, "b.png", "no answer", 'no "answer" or "answers"; answer the question'),
        ({"image": "b.png", "question": "?", "answers": []}, "b.png", "no answer", 'no "answer" or "answers"'),
        ({"image": "b.png", "question": "?", "answers": ["x", " "]}, "b.png", "no answer", "can be read, got ' '"),
        ({"image": "b.png", "question": "?", "answer": 1.5}, "b.png", "no answer", "that can be read, got 1.5"),
    ],
)
def test_a_bad_line_is_left_out_and_named(tmp_path, row, name, reason, detail):
    path = tmp_path / "x.jsonl"
    fine = {"image": "a.png", "caption": "fine", "label": "cat", "question": "?", "answer": "!"}
    write(path, fine, row, {"image": "c.png", "caption": "also"})
    source = open_jsonl(path)
    assert [source[index].key for index in range(len(source))] == ["a.png", "c.png"]
    assert [source[index].captions for index in range(len(source))] == [("fine",), ("also",)]
    (skipped,) = source.skipped
    assert skipped.name == f"{path if name == 'FILE' else name}, line 2"
    assert skipped.reason == reason
    assert skipped.detail.startswith(f"{path}, line 2: ")
    assert detail in skipped.detail


def test_good_captions_beside_bad_ones_are_kept(tmp_path):
    write(tmp_path / "x.jsonl", {"image": "a.png", "captions": ["one", "", "three", 4]}, {"image": "a.png"})
    source = open_jsonl(tmp_path / "x.jsonl")
    assert source[0].captions == ("one", "three")
    assert [(entry.name, entry.reason) for entry in source.skipped] == [
        ("a.png, line 1", "empty caption"),
        ("a.png, line 1", "caption is no text"),
        ("a.png, line 2", "no caption"),
    ]
    assert '"caption 2" has nothing to read in it' in source.skipped[0].detail
    assert '"caption 4" must be a text, got 4' in source.skipped[1].detail


def test_lines_that_are_not_utf_8_are_left_out(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"image": "a.png", "caption": "fine"}\n{"image": "b.png", "caption": "f\xfcnf"}\n')
    source = open_jsonl(path)
    assert source[0].captions == ("fine",)
    assert source.skipped[0].detail == f"{path}, line 2: not UTF-8 (byte 33 of the line); save the file as UTF-8"
    path.write_text('{"image": "a.png", "caption": "fine"}\n', encoding="utf-16")
    with pytest.raises(ValueError, match=r"x.jsonl is UTF-16; save it as UTF-8"):
        open_jsonl(path)


def test_what_another_split_does_wrong_is_its_own_concern(tmp_path):
    rows = [{"image": "a.png", "caption": "x", "split": "train"}, {"image": "b.png", "caption": 3, "split": "test"}]
    write(tmp_path / "x.jsonl", *rows)
    assert open_jsonl(tmp_path / "x.jsonl", wanted=Selection(split="train")).skipped == []


def test_when_nothing_is_left_the_commonest_reason_is_told(tmp_path):
    path = tmp_path / "x.jsonl"
    write(path, {"image": "a.png", "text": "x"}, {"image": "b.png", "caption": 3}, {"image": "c.png", "text": "x"})
    with pytest.raises(ValueError, match="nothing can be used") as caught:
        open_jsonl(path)
    assert str(caught.value) == (
        f'{path}: nothing can be used: 3 left out, 2 for "no caption"; the first: {path}, line 1: no "caption" or'
        ' "captions"; write one, or name the field that holds it with ?caption=NAME'
    )


def test_a_field_that_no_line_has_is_refused(tmp_path):
    write(tmp_path / "x.jsonl", {"image": "a.png", "title": "x"})
    expected = r"x.jsonl: the field for caption must be one of image, title, got 'titel' \(did you mean title\?\)"
    with pytest.raises(ValueError, match=expected):
        open_jsonl(tmp_path / "x.jsonl", columns=Columns(caption="titel"))


def test_fields_that_are_named_overrule_the_usual_ones(tmp_path):
    path = tmp_path / "x.jsonl"
    several = {"image": "a.png", "captions": ["one", "two"], "answers": ["p", "q"], "question": "who?"}
    write(path, {**several, "caption": "c", "blip": "b", "answer": "r"}, {**several, "image": "b.png"})

    def texts(options: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        sample = open_source(f"{path}?{options}")[0]
        return sample.captions, sample.questions[0].answers

    assert texts("limit=2") == texts("captions=captions&answers=answers") == (("one", "two"), ("p", "q"))
    assert texts("caption=blip") == (("b",), ("p", "q"))
    assert texts("caption=caption&answer=answer") == (("c",), ("r",))
    assert texts("captions=blip&answers=answer") == (("b",), ("r",))
    assert texts("caption=captions&answer=answers") == (("one", "two"), ("p", "q"))
    assert [
        one.detail.partition(": ")[2] for one in skipped_samples(open_source(f"{path}?caption=blip&answer=answer"))
    ] == ['no "answer"; answer the question or remove it']
    write(path, {"image": "a.png", "blip": "b"}, {"image": "b.png", "captions": ["one"]})
    assert [one.detail.partition(": ")[2] for one in skipped_samples(open_source(f"{path}?caption=blip"))] == [
        'no "blip"; write one, or name the field that holds it with ?caption=NAME'
    ]


def test_a_named_field_of_questions_overrules_the_list_of_them(tmp_path):
    listed = {"questions": [{"question": "who?", "answer": "she", "asked": "whom?"}]}
    write(tmp_path / "x.jsonl", {"image": "a.png", "text": "where?", **listed})
    write(tmp_path / "y.jsonl", {"image": "a.png", "questions": "where?", "answer": "here"})

    def questions(spec: str) -> tuple[Question, ...]:
        return open_source(f"{tmp_path}/{spec}")[0].questions

    assert questions("x.jsonl") == (Question(question="who?", answers=("she",)),)
    assert questions("x.jsonl?question=text") == (Question(question="where?", answers=()),)
    assert questions("y.jsonl?question=questions") == (Question(question="where?", answers=("here",)),)
    write(tmp_path / "x.jsonl", {"image": "a.png", **listed}, {"image": "b.png", "asked": "when?", "answer": "now"})
    assert questions("x.jsonl?question=asked") == (Question(question="whom?", answers=("she",)),)


def test_a_torn_gz_file_is_named(tmp_path):
    path = tmp_path / "x.jsonl.gz"
    whole = gzip.compress(b"\n".join(json.dumps({"image": f"{n}.png", "caption": "x"}).encode() for n in range(999)))
    path.write_bytes(whole[:-20])
    with pytest.raises(ValueError, match=r"x.jsonl.gz is no complete gzip file: "):
        open_jsonl(path)
    path.write_text("no gz")
    with pytest.raises(ValueError, match=r"x.jsonl.gz is no complete gzip file: Not a gzipped file"):
        open_jsonl(path)


def test_refuses_empty_files_and_splits_that_are_not_there(tmp_path):
    path = tmp_path / "x.jsonl"
    write(path, "")
    with pytest.raises(ValueError, match=r"x.jsonl has no lines"):
        open_jsonl(path)
    write(path, {"image": "a.png", "caption": "x"})
    with pytest.raises(ValueError, match=r"x.jsonl has no splits .* so \?split=test cannot be taken"):
        open_jsonl(path, wanted=Selection(split="test"))


def test_a_missing_image_is_named(tmp_path):
    write(tmp_path / "x.jsonl", {"image": "gone.png", "caption": "x"})
    with pytest.raises(ValueError, match=r"gone.png cannot be read as an image: there is no such file"):
        open_jsonl(tmp_path / "x.jsonl")[0].open_image()
