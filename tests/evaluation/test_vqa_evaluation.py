import random
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from builders.predictors import ListSource, open_photo, small_predictor
from sycoca.data.questions import QuestionSamples, keyed_questions
from sycoca.data.samples import ImageTextSample, Question
from sycoca.data.writing.vqa_results import read_results
from sycoca.evaluation.report import Report
from sycoca.evaluation.sharding import Sharding
from sycoca.evaluation.vqa import VqaOptions, evaluate_vqa
from sycoca.evaluation.vqa_scores import score_vqa, vqa_report
from sycoca.inference.decoding.generation_config import GenerationConfig
from sycoca.metrics.vqa import MemberRule, most_frequent_answers

ANSWERS = ("yes", "red", "table, cup")
LETTERS = "bcdefghijklm"


def asked(text: str, *answers: str, **more: str) -> Question:
    return Question(question=text, answers=answers, **more)


QUESTIONS = [
    (asked("is it?", "yes", key="7", answer_type="yes/no"), asked("what color is it?", "red")),
    (),
    (asked("what is left?", "Cup", "table"), asked("is it?", "no", key="8", answer_type="yes/no")),
    (asked("what color is the circle?", "red"),),
]


def question_source(questions: list[tuple[Question, ...]] = QUESTIONS) -> ListSource:
    return ListSource(
        samples=tuple(
            ImageTextSample(key=f"photo-{index}", captions=(), open_image=partial(open_photo, index), questions=own)
            for index, own in enumerate(questions)
        )
    )


def predictor_with_answers():
    torch.manual_seed(4)
    predictor = small_predictor(model_num_answers=len(ANSWERS), answers=ANSWERS)
    with torch.no_grad():
        assert predictor.model.answer_head is not None
        predictor.model.answer_head.linear.weight.mul_(20)
    return predictor


def test_metrics_worked_out_by_hand():
    questions = [question for own in keyed_questions(question_source(), 4) for question in own]
    report = vqa_report(questions, ["Yes!", "red", "a table, cup", "yes", ""], listed_answers=ANSWERS)
    assert report.metrics == {
        "answer_accuracy": 0.6,
        "answer_accuracy_most_frequent": 0.4,
        "answer_accuracy_question_only": 0.4,  # no question is asked twice
        "answer_coverage": 0.8,
        "answer_accuracy_ceiling": 0.8,
        "answer_accuracy_of_answer_type_yes/no": 0.5,
    }
    assert report.counts == {
        "questions": 5,
        "empty_answers": 1,
        "different_answers": 5,
        "questions_of_answer_type_yes/no": 2,
    }
    assert report.settings == {"references_are": "members of one answer", "most_frequent_answer": "red"}
    assert report.items["question"].keys == ["7", "photo-0#1", "photo-2#0", "8", "photo-3#0"]
    assert report.items["question"].values["answer_accuracy"] == [1.0, 1.0, 1.0, 0.0, 0.0]
    assert report.items["question"].groups == ["photo-0", "photo-0", "photo-2", "photo-2", "photo-3"]


def test_a_question_alone_is_answered_by_the_others_with_its_text():
    answers = {"how many?": ["2", "2", "2", "3"], "What  Color?": ["red"], "what color?": ["red", "blue"]}
    questions = [
        asked(text, answer, key=f"{text} {number}")
        for text, own in answers.items()
        for number, answer in enumerate(own)
    ]
    report = vqa_report(questions, ["2"] * len(questions))
    # Two answers 2 remain for each 2, three for the 3. Of the colors one of each remains for a red, which counts half,
    # and red for the blue.
    assert report.metrics["answer_accuracy_question_only"] == pytest.approx((3 + 2 * 0.5) / 7)
    assert report.metrics["answer_accuracy_most_frequent"] == pytest.approx(3 / 7)
    alone = vqa_report([asked("a?", "x", key="1"), asked("b?", "y", key="2")], ["x", "y"])
    assert alone.metrics["answer_accuracy_question_only"] == alone.metrics["answer_accuracy_most_frequent"] == 0.5


def test_question_only_answers_are_those_of_a_count_by_hand():
    rng = random.Random(0)
    for num_answers in (2, 3, 12):
        questions = [
            asked(rng.choice(["what?", "where?", f"how {number}?"]), rng.choice(LETTERS[:num_answers]), key=str(number))
            for number in range(60)
        ]
        questions = [replace(question, image=str(rng.randrange(25))) for question in questions]
        expected = []
        for one in questions:
            others = Counter(
                other.answers[0]
                for other in questions
                if (other.question, other.image != one.image) == (one.question, True)
            )
            most = [answer for answer, count in others.items() if count == max(others.values())]
            constant = most_frequent_answers([question.answers[0] for question in questions], MemberRule(), 1)
            guesses = most or constant
            expected.append((one.answers[0] in guesses) / len(guesses))
        found = vqa_report(questions, ["x"] * 60).items["question"].values["answer_accuracy_question_only"]
        assert found == pytest.approx(expected)
        assert 0 < sum(expected) < 60


def test_an_answer_of_its_own_does_not_settle_a_tie():
    # Every answer is given twice: without its own, each question finds itself one behind.
    questions = [asked("what?", answer, key=f"{answer} {number}") for answer in LETTERS for number in range(2)]
    assert vqa_report(questions, ["x"] * 24).metrics["answer_accuracy_question_only"] == 0
    # One a and the b are left for each a; two of the other answer are left for the b.
    questions = [asked("what?", answer, key=answer + str(number)) for number, answer in enumerate("aab")]
    values = vqa_report(questions, ["x"] * 3).items["question"].values["answer_accuracy_question_only"]
    assert values == [0.5, 0.5, 0]


def test_equivalent_answers_to_a_question_are_counted_together():
    questions = [
        asked("is it?", answer, key=str(number)) for number, answer in enumerate(["yes", "Yes", "YES", "no", "no"] * 20)
    ]
    report = vqa_report(questions, ["caf\u00e9", "cafe\u0301"] * 50)
    assert report.metrics["answer_accuracy_question_only"] == report.metrics["answer_accuracy_most_frequent"] == 0.6
    assert report.counts["different_answers"] == 1
    # In the spelling of most: where all annotators agree the match is exact.
    spelled = [
        asked("is it?", *[answer] * 4, key=answer * n)
        for answer, number in (("Yes", 3), ("yes", 1))
        for n in range(1, number + 1)
    ]
    assert vqa_report(spelled, ["x"] * 4).metrics["vqa_accuracy_question_only"] == 3 / 4


def test_a_copy_of_a_question_does_not_answer_it():
    def report(images: list[str | None]) -> Report:
        texts = ("Where is it?", "where  is it?")
        questions = [
            replace(asked(texts[number % 2], answer, key=str(number)), image=image)
            for number, (answer, image) in enumerate(zip(("left",) * 4 + ("right",), images, strict=True))
        ]
        return vqa_report(questions, ["x"] * 5)

    assert report(["a", "b", "c", "d", "e"]).metrics["answer_accuracy_question_only"] == 0.8
    assert report([None] * 5).metrics["answer_accuracy_question_only"] == 0.8
    assert report(["a", "a", "a", "a", "b"]).metrics["answer_accuracy_question_only"] == 0.0


def test_annotators_and_what_a_list_of_answers_can_reach():
    questions = [
        asked("a?", *["cat"] * 6, *["dog"] * 2, "a cow", "sheep", key="1", question_type="what animal"),
        asked("b?", *["The sky"] * 10, key="2"),
    ]
    report = vqa_report(questions, ["Dog", "The sky"], listed_answers=["dog", "sheep", "the sky"])
    assert report.metrics["vqa_accuracy"] == pytest.approx((0.6 + 1.0) / 2)
    assert report.metrics["vqa_accuracy_ceiling"] == pytest.approx((0.6 + 0.0) / 2)  # "the sky" is not "The sky"
    assert report.metrics["answer_coverage"] == 0.0
    assert report.metrics["vqa_accuracy_most_frequent"] == 0.5
    assert report.metrics["vqa_accuracy_of_question_type_what animal"] == pytest.approx(0.6)
    assert vqa_report(questions, ["cat", "x"], references_are="members").metrics["answer_accuracy"] == 0.0


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_answers_are_those_that_users_get(tmp_path: Path, batch_size: int):
    predictor, source = predictor_with_answers(), question_source()
    options = VqaOptions(predictions=tmp_path / "deep" / "answers.json")
    report = evaluate_vqa(predictor, source, options=options, batch_size=batch_size)
    assert options.predictions is not None
    answers = read_results(options.predictions)
    keyed = keyed_questions(source, 4)
    expected = {
        str(question.key): predictor.ask(source[index], question.question)
        for index, own in enumerate(keyed)
        for question in own
    }
    assert answers == expected
    assert len(set(expected.values())) > 1
    questions = [question for own in keyed for question in own]
    assert report.metrics["answer_accuracy"] == score_vqa(questions, answers).metrics["answer_accuracy"]
    assert report.counts["images"] == 3
    assert report.counts["images_without_questions"] == 1
    assert report.counts["truncated_questions"] == 0
    assert evaluate_vqa(predictor, source, limit=1).counts["questions"] == 2


def test_open_ended_answers_are_written():
    predictor, source = predictor_with_answers(), question_source()
    for generation in (GenerationConfig(max_tokens=3), GenerationConfig(temperature=1.5, max_tokens=3)):
        options = VqaOptions(open_ended=generation)
        report = evaluate_vqa(predictor, source, options=options)
        assert report.settings["open_ended"] is True
        assert "answer_coverage" not in report.metrics
        again = evaluate_vqa(predictor, source, options=options, batch_size=1)
        assert replace(again, seconds=0.0) == replace(report, seconds=0.0)


def test_processes_share_the_images():
    predictor, source = predictor_with_answers(), question_source()
    whole = evaluate_vqa(predictor, source)
    parts: list[list[str]] = []

    def keep(values: list[str]) -> list[str]:
        parts.append(values)
        return ["yes"] * 5

    for rank in range(2):
        evaluate_vqa(predictor, source, sharding=Sharding(rank=rank, world_size=2, gather_plain=keep))
    assert [len(part) for part in parts] == [2, 3]
    joined = Sharding(gather_plain=lambda _: parts[0] + parts[1])
    assert replace(evaluate_vqa(predictor, source, sharding=joined), seconds=0.0) == replace(whole, seconds=0.0)


def test_predictions_must_fit_the_questions():
    questions = [asked("a?", "yes", key="1"), asked("b?", "no", key="2"), asked("c?", "no", key="3")]
    with pytest.raises(ValueError, match="2 of 3 predictions are about unknown questions, the first is 9"):
        score_vqa(questions, {"1": "yes", "9": "no", "8": "no"})
    with pytest.raises(ValueError, match="2 of 3 questions have no prediction, the first is 2"):
        score_vqa(questions, {"1": "yes"})
    assert score_vqa(questions, {"3": "no", "2": "", "1": "yes"}).metrics["answer_accuracy"] == pytest.approx(2 / 3)


def test_refuses_what_cannot_be_judged():
    predictor = predictor_with_answers()
    with pytest.raises(ValueError, match="a list has no questions"):
        evaluate_vqa(predictor, question_source([(), ()]))
    with pytest.raises(
        ValueError, match=r"1 of 2 questions have no reference answer, the first is photo-0#1 \('b\?'\)"
    ):
        evaluate_vqa(predictor, question_source([(asked("a?", "yes"), asked("b?"))]))
    with pytest.raises(ValueError, match="ids of their own, but 5 occurs 2 times"):
        evaluate_vqa(predictor, question_source([(asked("a?", "yes", key="5"),), (asked("b?", "no", key="5"),)]))


def test_samples_hold_the_questions_that_are_to_be_learned():
    source = QuestionSamples(question_source(), [[1], [], [1]], most_per_sample=4)
    assert [source[index].key for index in range(len(source))] == ["photo-0, question photo-0#1", "photo-2, question 8"]
    assert source[1].questions == (replace(QUESTIONS[2][1], image="photo-2"),)
    assert source[0].questions[0].question == "what color is it?"
    assert source.num_questions == 2
    assert source.skipped == ()
