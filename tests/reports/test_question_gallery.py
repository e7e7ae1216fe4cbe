"""Questions and classes as reports show them."""

from functools import partial

import pytest

from builders.predictors import ListSource, open_photo, small_predictor
from sycoca.data.samples import ImageTextSample, Question
from sycoca.metrics.vqa import MemberRule
from sycoca.reports.class_gallery import class_gallery
from sycoca.reports.question_gallery import question_gallery


def sample(seed: int, label: str | None, *questions: Question) -> ImageTextSample:
    return ImageTextSample(
        key=str(seed), captions=(), open_image=partial(open_photo, seed), label=label, questions=questions
    )


def test_classes_equal_those_of_the_predictor():
    predictor = small_predictor(model_num_classes=3, class_names=("ant", "bee", "cat"))
    source = ListSource(samples=(sample(0, "ant"), sample(1, None), sample(2, "cat"), sample(3, "bee")))
    shown = class_gallery(predictor, source, "held-out images")
    labeled = [source[index] for index in (0, 2, 3)]
    assert [example.answer for example in shown.classes] == predictor.classify(labeled)
    assert [example.references for example in shown.classes] == [("ant",), ("cat",), ("bee",)]
    assert [example.is_right for example in shown.classes] == [
        example.answer == example.references[0] for example in shown.classes
    ]
    assert all(1 / 3 <= example.probability <= 1 for example in shown.classes)


@pytest.mark.parametrize("right", [True, False])
def test_answers_equal_those_of_the_predictor(right: bool):
    predictor = small_predictor(model_num_answers=2, answers=("red", "blue"))
    image = sample(0, None)
    answer = predictor.ask(image, "what color?")
    other = {"red": "blue", "blue": "red"}[answer]
    asked = Question(question="what color?", answers=(answer if right else other,))
    source = ListSource(samples=(sample(0, None, asked), sample(1, None)))
    (shown,) = question_gallery(predictor, source, MemberRule(), "held-out images").answers
    assert (shown.question, shown.answer, shown.references) == ("what color?", answer, asked.answers)
    assert shown.is_right == right
