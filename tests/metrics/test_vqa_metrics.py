import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.shared_data import shared_data
from sycoca.data.text_files import read_json
from sycoca.metrics.vqa import AnnotatorRule, MemberRule, answer_rule, leave_one_out_accuracy, most_frequent_answers
from sycoca.metrics.vqa_contractions import CONTRACTIONS
from sycoca.metrics.vqa_normalization import normalize_answer

NORMALIZED = [
    ("Yes", "yes"),
    ("  a\tbig\nDOG ", "big dog"),
    ("the", ""),
    ("TWO cats", "2 cats"),
    ("none", "0"),
    ("eleven", "eleven"),
    ("dont know", "don't know"),
    ("someoned've", "someone'd've"),
    ("somebody'd", "somebodyd"),
    ("Im", "im"),  # the table's "Im" never meets a lower-cased word
    ("it's", "it's"),
    ("t-shirt", "t shirt"),  # a sign between letters leaves a space
    ("t- shirt-less", "t shirtless"),  # but none where it stands beside a space anywhere
    ("yes, sir", "yes sir"),
    ("red,blue", "red blue"),
    ("1,000", "1000"),
    ("1,000 t-shirts", "1000 tshirts"),  # a comma between digits takes the space from all signs
    ("3.5", "3.5"),
    (".5", ".5"),
    ("5.", "5"),
    ("u.s.a.", "usa"),
    ("1.a", "1a"),
    ("." * 40 + "a", "." * 8 + "a"),  # only 32 of them go
    ("9:30", "9:30"),
    ("50%", "50%"),
    ('[{("a_b")}]', "b"),
    ("a=b+c\\d>e<f@g`h?i!j;k/l", "b c d e f g h i j k l"),
]


@pytest.mark.parametrize(("text", "expected"), NORMALIZED)
def test_normalization_step_by_step(text: str, expected: str):
    assert normalize_answer(text) == expected


def slow_vqa_accuracy(answer: str, annotators: list[str]) -> float:
    """Leave out the annotators one by one, as in the paper."""
    if len({text.strip() for text in annotators}) > 1:
        answer, annotators = normalize_answer(answer), [normalize_answer(text) for text in annotators]
    scores = []
    for place in range(len(annotators)):
        others = annotators[:place] + annotators[place + 1 :]
        scores.append(min(1.0, others.count(answer) / 3))
    return sum(scores) / len(scores)


@given(st.lists(st.sampled_from(["cat", "a cat", "Cat", "dog", "2", "two"]), min_size=4, max_size=12), st.data())
def test_official_accuracy_equals_leaving_out_one_by_one(annotators: list[str], data: st.DataObject):
    answer = data.draw(st.sampled_from([*annotators, "the dog", "mouse"]))
    assert AnnotatorRule().accuracy(answer, annotators) == pytest.approx(slow_vqa_accuracy(answer, annotators))


def test_ten_annotators_give_the_known_steps():
    steps = [AnnotatorRule().accuracy("cat", ["cat"] * count + ["dog"] * (10 - count)) for count in range(5)]
    assert steps == pytest.approx([0.0, 0.3, 0.6, 0.9, 1.0])
    assert leave_one_out_accuracy(4, 4) == 1.0
    assert leave_one_out_accuracy(0, 4) == 0.0


def test_answers_are_not_normalized_where_annotators_agree():
    rule = AnnotatorRule()
    assert rule.accuracy("a cat\n", ["a cat "] * 10) == 1.0
    assert rule.accuracy("cat", ["a cat"] * 10) == 0.0
    assert rule.accuracy("A cat", ["a cat"] * 10) == 0.0
    assert rule.accuracy("cat", ["a cat"] * 9 + ["cat"]) == 1.0
    # They disagree as long as normalization has not made them equal.
    assert rule.accuracy("CAT!", ["cat"] * 9 + ["Cat"]) == 1.0


def test_the_official_accuracy_needs_annotators():
    message = "at least 4 annotators for every question, got 3"
    with pytest.raises(ValueError, match=message):
        AnnotatorRule().accuracy("cat", ["cat"] * 3)
    with pytest.raises(ValueError, match=message):
        answer_rule([["a"] * 10, ["a"] * 3], "annotators")


def test_one_reference_and_sets():
    rule = MemberRule()
    assert rule.accuracy("The Garbage bin.", ["garbage_bin"]) == 1.0
    assert rule.accuracy("bin", ["garbage_bin"]) == 0.0
    assert rule.accuracy("1000", ["1,000"]) == 1.0
    assert rule.accuracy("table, red book", ["red_book", "table"]) == 1.0
    assert rule.accuracy("table", ["red_book", "table"]) == 0.0
    assert rule.accuracy("table, red book, cup", ["red_book", "table"]) == 0.0
    assert rule.accuracy("lamp", ["lamp", "lamp"]) == 1.0
    with pytest.raises(ValueError, match="without a reference answer"):
        rule.accuracy("lamp", [])


def test_best_answers_are_correct_and_spelled_as_in_the_references():
    annotators = ["The cat", "cat", "dog", "The cat", "dog"]
    assert AnnotatorRule().best_answer(annotators) == "The cat"
    assert MemberRule().best_answer(["table", "red_book", "Table"]) == "red_book, table"
    assert MemberRule().accuracy("red_book, table", ["table", "red_book", "Table"]) == 1.0


def test_soft_targets_are_the_accuracies():
    annotators = ["cat"] * 3 + ["a cat"] + ["Dog"] * 2 + ["pony"] + ["x", "y", "z"]
    targets = AnnotatorRule().soft_targets(annotators)
    assert targets[("cat",)] == 1.0
    assert targets[("dog",)] == pytest.approx(0.6)
    assert targets[("pony",)] == pytest.approx(0.3)
    assert len(targets) == 6
    assert MemberRule().soft_targets(["table", "book"]) == {("book", "table"): 1.0}


def test_which_rule_a_data_set_gets():
    assert answer_rule([["a"] * 10, ["b"] * 4]).metric == "vqa_accuracy"
    assert answer_rule([["a"] * 10, ["b"]]).metric == "answer_accuracy"
    assert answer_rule([["a"] * 4], "members").metric == "answer_accuracy"
    for references in ([], [["a"], []]):
        with pytest.raises(ValueError, match="every question has a reference answer"):
            answer_rule(references)


def test_answer_lists_count_normalized_answers_and_order_ties_alphabetically():
    answers = ["no", "Yes", "yes", "yes", "blue", "two", "2", "cup, mug", "mug, cup"]
    assert most_frequent_answers(answers, MemberRule()) == ["yes", "2", "cup, mug", "blue", "no"]
    assert most_frequent_answers(reversed(answers), MemberRule(), 2) == ["yes", "2"]
    assert most_frequent_answers(["cup, mug", "mug, cup"], AnnotatorRule()) == ["cup, mug", "mug, cup"]


def test_the_tables_are_the_official_ones():
    tables = read_json(shared_data("metric_refs/vqa_answer_normalisation.json"))
    assert tables["contractions"] == CONTRACTIONS
    for sign in tables["punct"]:
        assert normalize_answer(f"x{sign}y") == "x y"
    for word, digit in tables["manual_map"].items():
        assert normalize_answer(word) == digit
    for article in tables["articles"]:
        assert normalize_answer(article) == ""
    kept = [chr(code) for code in range(33, 127) if not chr(code).isalnum() and chr(code) not in tables["punct"]]
    assert [
        sign
        for sign in kept
        if sign != "." and not re.fullmatch(rf"x{re.escape(sign)}y", normalize_answer(f"x{sign}y"))
    ] == []


def test_answers_in_another_unicode_form_are_the_same_answers():
    assert AnnotatorRule().accuracy("cafe\u0301", ["caf\u00e9"] * 10) == 1
    assert AnnotatorRule().accuracy("Cafe\u0301!", ["caf\u00e9"] * 5 + ["tea"] * 5) == 1
    assert MemberRule().accuracy("cafe\u0301", ["caf\u00e9"]) == 1
    assert len(most_frequent_answers(["cafe\u0301", "caf\u00e9", "tea"], MemberRule())) == 2


def test_an_answer_that_is_an_article_is_not_an_empty_one():
    assert MemberRule().accuracy("A", ["a"]) == 1
    assert MemberRule().accuracy("", ["a"]) == MemberRule().accuracy("the", ["a"]) == 0
    assert MemberRule().accuracy("a cat", ["cat"]) == 1
    assert MemberRule().key("A") == ("a",)
