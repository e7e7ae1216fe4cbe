"""POPE's questions, answered by the statement that scores higher."""

from collections import Counter
from collections.abc import Sequence

from sycoca.data.benchmarks.records import YesNoQuestion
from sycoca.data.content_keys import normalized_caption
from sycoca.evaluation.hard_negatives.findings import BLIND_REMARK, Findings, Score, item_metrics
from sycoca.evaluation.report import ItemScores
from sycoca.facts.metric_suffixes import ALWAYS_YES, QUESTION_ONLY, QUESTION_TYPE, RANDOM
from sycoca.metrics.yes_no import TRUE_YES, yes_no_values

STATEMENTS_REMARK = (
    "questions are answered by the statement that scores higher, since captions hold no questions; figures of models"
    " that answer the question are not comparable"
)

_FIGURES = ("accuracy", "precision", "recall", "f1", "yes_ratio")
"""What is said about each scorer, in this order."""


def judge_questions(questions: Sequence[YesNoQuestion], score: Score) -> Findings:
    """Return accuracy, precision, recall, F1 and the rate of yes, by each scorer.

    The answer is yes where "There is a dog in the image." scores higher than "There is no dog in the image."; a tie is
    a no. Beside them stand what needs no image: always yes, and for each question the answer that is most often right
    for the same text about other images (no where neither is).
    """
    scores = score([question.image for question in questions], [question.statements for question in questions])
    answers = {scorer: [bool(own[0] > own[1]) for own in of_images] for scorer, of_images in scores.items()}
    answers |= {ALWAYS_YES: [True] * len(questions), QUESTION_ONLY: _answers_by_question(questions)}
    values = yes_no_values(answers, [question.is_yes for question in questions])
    items = ItemScores(
        keys=[question.key for question in questions],
        values=values,
        groups=[question.image.name for question in questions],
        kinds={QUESTION_TYPE: [question.kind for question in questions]},
    )
    found = item_metrics(items, {f"pope_accuracy{RANDOM}": 0.5})
    of_scorers = [f"pope_{figure}{scorer}" for scorer in answers for figure in _FIGURES]
    ordered = {name: found[name] for name in of_scorers} | found
    metrics = {name: value for name, value in ordered.items() if not name.startswith(TRUE_YES)}
    return Findings(unit="question", items=items, metrics=metrics, remarks=(BLIND_REMARK, STATEMENTS_REMARK))


def _answers_by_question(questions: Sequence[YesNoQuestion]) -> list[bool]:
    """Return the answer that is most often right for the same text about other images.

    POPE's lists share their questions to be answered by yes, so that the same one about one image may come again.
    """
    texts = [normalized_caption(question.question) for question in questions]
    asked = [(question.image.name, text) for question, text in zip(questions, texts, strict=True)]
    surplus, own = Counter[str](), Counter[tuple[str, str]]()
    for text, pair, question in zip(texts, asked, questions, strict=True):
        surplus[text] += 1 if question.is_yes else -1
        own[pair] += 1 if question.is_yes else -1
    return [surplus[text] - own[pair] > 0 for text, pair in zip(texts, asked, strict=True)]
