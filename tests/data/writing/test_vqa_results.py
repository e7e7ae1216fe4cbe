import re
from pathlib import Path

import pytest

from builders.twelve_pictures import PICTURES, vqa_annotations, write_json
from sycoca.data.samples import Question
from sycoca.data.writing.vqa_results import read_references, read_results, write_results


def test_what_is_written_can_be_read(tmp_path: Path):
    keys = ["12", "007", "a.jpg#0", "ключ", "²"]
    questions = [Question(question="?", answers=(), key=key) for key in keys]
    path = tmp_path / "new" / "answers.json"
    write_results(path, questions, ["yes", "", "no\n", "снег", "x"])
    assert read_results(path) == dict(zip(keys, ["yes", "", "no\n", "снег", "x"], strict=True))
    assert '{"question_id": 12, "answer": "yes"}' in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"question_id": 1, "answer": "yes"}, "must hold a list"),
        ([], "must hold a list"),
        ([{"question_id": 1}], "answer 1: expected"),
        ([{"question_id": 1, "answer": "a"}, {"question_id": True, "answer": "a"}], "answer 2: expected"),
        ([{"question_id": 1, "answer": 5}], "answer 1: expected"),
        ([{"question_id": 1, "answer": "a"}, {"question_id": "1", "answer": "b"}], "question 1 is answered twice"),
        ([3], "answer 1: expected"),
    ],
)
def test_broken_results(tmp_path: Path, data: object, message: str):
    with pytest.raises(ValueError, match=message):
        read_results(write_json(tmp_path / "answers.json", data))


def test_whole_numbers_written_as_tables_do_are_ids(tmp_path: Path):
    answers = write_json(tmp_path / "answers.json", [{"question_id": 7.0, "answer": "yes"}])
    assert read_results(answers) == {"7": "yes"}
    entry = {"question_id": 7.0, "image_id": 42.0, "answers": ["yes"]}
    (question,) = read_references(write_json(tmp_path / "annotations.json", {"annotations": [entry]}))
    assert (question.key, question.image) == ("7", "42")


def test_no_json(tmp_path: Path):
    (tmp_path / "answers.json").write_text("[{")
    with pytest.raises(ValueError, match="is no JSON file"):
        read_results(tmp_path / "answers.json")
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        read_results(tmp_path / "none.json")


def test_references_of_an_annotation_file(tmp_path: Path):
    found = read_references(write_json(tmp_path / "annotations.json.gz", vqa_annotations(PICTURES[:2])))
    assert [question.key for question in found] == ["10", "11", "0", "1"]
    assert found[0].answers == ("yes",) * 10
    assert (found[1].question_type, found[1].answer_type) == ("what", "other")


def test_references_know_their_image_where_the_file_does(tmp_path: Path):
    entries = [{"question_id": i, "answers": ["yes"]} | image for i, image in enumerate([{"image_id": 42}, {}])]
    found = read_references(write_json(tmp_path / "annotations.json", {"annotations": entries}))
    assert [question.image for question in found] == ["42", None]


@pytest.mark.parametrize("answers", [None, [], "yes", [{"answer": 5}], [{"text": "yes"}]])
def test_references_need_answers(tmp_path: Path, answers: object):
    path = write_json(tmp_path / "annotations.json", {"annotations": [{"question_id": 3, "answers": answers}]})
    with pytest.raises(ValueError, match=re.escape('question 3: "answers" must be a list')):
        read_references(path)
