"""Figures of the README that no model is needed for."""

from pathlib import Path

from sycoca.data.questions import keyed_questions
from sycoca.data.spec import open_source
from sycoca.evaluation.vqa_scores import vqa_report
from sycoca.experiments.quickstart.quickstart import TEST_SCENES

README = Path(__file__).parents[2] / "README.md"


def test_answers_without_image_are_those_of_the_test_scenes():
    source = open_source(TEST_SCENES)
    questions = [question for own in keyed_questions(source, len(source)) for question in own]
    found = vqa_report(questions, [""] * len(questions)).metrics
    assert (
        f"question without image {100 * found['answer_accuracy_question_only']:.1f} %; most frequent answer"
        f" {100 * found['answer_accuracy_most_frequent']:.1f} %"
    ) in README.read_text(encoding="utf-8")
