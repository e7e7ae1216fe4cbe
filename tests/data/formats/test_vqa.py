import json

import pytest

from sycoca.data.formats.vqa import open_vqa
from sycoca.data.samples import Question


def write(path, **data):
    path.write_text(json.dumps(data))
    return path


def question(number: int, **fields) -> dict:
    return {"image_id": 42, "question_id": number, "question": f"q{number}?", **fields}


def answer(number: int, *answers: object) -> dict:
    return {"question_id": number, "answers": [{"answer": text} for text in answers]}


def test_images_of_the_test_set_of_the_year_have_one_name(tmp_path):
    path = write(tmp_path / "q.json", data_subtype="test-dev2015", questions=[question(1)])
    assert open_vqa(path)[0].key == "COCO_test2015_000000000042.jpg"


def test_whole_numbers_written_as_tables_do_are_ids(tmp_path):
    asked = {**question(1), "question_id": 1.0, "image_id": 42.0}
    path = write(tmp_path / "q.json", data_subtype="val2014", questions=[asked])
    answers = write(tmp_path / "a.json", annotations=[answer(1, "yes")])
    (sample,) = open_vqa(path, annotations=answers)
    assert (sample.key, sample.questions[0].key) == ("COCO_val2014_000000000042.jpg", "1")
    assert sample.questions[0].answers == ("yes",)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("{}.png", ["42.png", "dog.png"]),
        ("a/{:04}.png", ["a/0042.png", "a/0dog.png"]),
        ("{:03d}", ["042", "dog"]),
        ("{7}{:1}", ["{7}42", "{7}dog"]),
    ],
)
def test_names_of_images_are_made_from_their_ids(tmp_path, name, expected):
    path = write(tmp_path / "q.json", questions=[question(1), question(2, image_id="dog")])
    source = open_vqa(path, name=name)
    assert [source[index].key for index in range(len(source))] == expected


@pytest.mark.parametrize("name", ["x.jpg", "{}{}", "{:x}", "{0.__class__}"])
def test_refuses_names_without_a_place_for_the_id(tmp_path, name):
    path = write(tmp_path / "q.json", questions=[question(1)])
    with pytest.raises(ValueError, match=r"name must have the image's id in it once, as {} or {:012}, got '") as caught:
        open_vqa(path, name=name)
    assert str(caught.value).endswith(f"got {name!r}")


def test_files_that_do_not_say_how_images_are_called(tmp_path):
    path = write(tmp_path / "q.json", questions=[question(1)])
    with pytest.raises(
        ValueError, match=r'q.json has no "data_subtype"; say what its images are called: \?name=COCO_val'
    ):
        open_vqa(path)


def test_bad_questions_and_answers_are_named(tmp_path):
    questions = [
        question(1),
        question(2),
        question(3, question=None),
        question(4, image_id=None),
        question(5, image_id=1.5),
        "q6",
        question(7),
    ]
    path = write(tmp_path / "q.json", data_subtype="val2014", questions=questions)
    answers = [answer(1, "yes", "no"), answer(3, "x"), answer(4, "x"), answer(7, "x", None), answer(8, "x")]
    annotations = write(tmp_path / "a.json", annotations=answers)
    source = open_vqa(path, annotations=annotations)
    image = "COCO_val2014_000000000042.jpg"
    assert [(source[index].key, source[index].questions) for index in range(len(source))] == [
        (image, (Question(question="q1?", answers=("yes", "no"), key="1"),))
    ]
    assert [(entry.name, entry.reason) for entry in source.skipped] == [
        (f"{image}, question 2", "no answer"),
        (f"{image}, question 3", "no question"),
        (f"{path}, question 4", "no image name"),
        (f"{path}, question 5", "no image name"),
        (f"{path}, question 6", "malformed row"),
        (f"{image}, question 7", "no answer"),
        (f"{path}, question 8", "malformed row"),
    ]
    assert source.skipped[-1].detail.endswith(f"{annotations} answers it, but it is not among the questions")
    assert source.skipped[2].detail == f'{path}, question 4: "image_id" must be the name of an image file, got None'


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ([answer(1, "a"), answer(1, "b")], "a.json, annotation 2: question 1 is answered twice"),
        ([{"answers": []}], r'a.json, annotation 1: expected {"question_id": number, "answers": \[..\]}'),
        (["x"], "a.json, annotation 1: expected"),
        ("x", 'a.json has no list "annotations"'),
    ],
)
def test_refuses_broken_annotations(tmp_path, answers, message):
    path = write(tmp_path / "q.json", data_subtype="val2014", questions=[question(1)])
    with pytest.raises(ValueError, match=message):
        open_vqa(path, annotations=write(tmp_path / "a.json", annotations=answers))


def test_answers_to_an_id_that_two_questions_have_are_nobodys(tmp_path):
    path = write(tmp_path / "q.json", questions=[question(1), question(2), question(2, question="else?")])
    annotations = write(tmp_path / "a.json", annotations=[answer(1, "red"), answer(2, "blue")])
    source = open_vqa(path, annotations=annotations, name="{}.png")
    assert [own.answers for own in source[0].questions] == [("red",)]
    assert [one.name for one in source.skipped] == [f"{path}, question 2", f"{path}, question 3"]
    assert 'the "question_id" 2 stands twice (questions 2 and 3), so nobody knows' in source.skipped[0].detail


def test_question_ids_of_another_type_are_named(tmp_path):
    path = write(tmp_path / "q.json", questions=[question(1), question(2)])
    annotations = write(tmp_path / "a.json", annotations=[answer(1, "red"), {**answer(2, "x"), "question_id": "2"}])
    details = [one.detail for one in open_vqa(path, annotations=annotations, name="{}.png").skipped]
    assert any(one.endswith("; there is the text '2', among the questions the number 2") for one in details)
