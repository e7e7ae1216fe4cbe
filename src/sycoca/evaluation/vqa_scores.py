"""Report on given answers to questions; needs no model."""

from collections.abc import Collection, Mapping, Sequence

from sycoca.data.samples import Question
from sycoca.evaluation.question_baseline import question_only_scores
from sycoca.evaluation.report import ItemScores, Report, Setting
from sycoca.facts.metric_suffixes import CEILING, MOST_FREQUENT, QUESTION_ONLY
from sycoca.metrics.vqa import AnswerRule, References, answer_rule, most_frequent_answers
from sycoca.texts import normal_form


def score_vqa(
    questions: Sequence[Question], predictions: Mapping[str, str], *, references_are: References | None = None
) -> Report:
    """Score answers by question id; ``references_are`` says what several references are, see `answer_rule`.

    Raises ValueError where a question has no answer, and where an answer belongs to no question.
    """
    keys = [normal_form(str(question.key)) for question in questions]
    predictions = {normal_form(key): answer for key, answer in predictions.items()}
    unknown = predictions.keys() - set(keys)
    if unknown:
        raise ValueError(
            f"{len(unknown):,} of {len(predictions):,} predictions are about unknown questions, the first is"
            f" {_first(predictions, unknown)}; give the references that the predictions belong to"
        )
    missing = set(keys) - predictions.keys()
    if missing:
        raise ValueError(
            f"{len(missing):,} of {len(keys):,} questions have no prediction, the first is {_first(keys, missing)};"
            " answer every question (an empty text counts as wrong)"
        )
    return vqa_report(questions, [predictions[key] for key in keys], references_are=references_are)


def vqa_report(
    questions: Sequence[Question],
    answers: Sequence[str],
    *,
    references_are: References | None = None,
    listed_answers: Sequence[str] | None = None,
    counts: Mapping[str, int] | None = None,
    settings: Mapping[str, Setting] | None = None,
    seconds: float = 0.0,
) -> Report:
    """Return the accuracy of one answer per question, overall and by type, and of the best constant answer.

    ``vqa_accuracy`` where every question has at least 4 annotators, ``answer_accuracy`` elsewhere.
    ``..._most_frequent``: that of always giving the answer that is most often best among these very questions.
    ``..._question_only``: that of the answer that is most often best for the same text about other images, which needs
    none (`question_only_scores`). With ``listed_answers``, those that a model chooses from, ``answer_coverage``: the
    fraction of questions for which one of them is as good as the best that there is, and ``..._ceiling``: the accuracy
    of always choosing the best of them.
    """
    rule = answer_rule([question.answers for question in questions], references_are)
    scores = [rule.accuracy(answer, question.answers) for answer, question in zip(answers, questions, strict=True)]
    best = [rule.best_answer(question.answers) for question in questions]
    constant = most_frequent_answers(best, rule, 1)[0]
    values: dict[str, list[float]] = {
        rule.metric: scores,
        f"{rule.metric}{MOST_FREQUENT}": [rule.accuracy(constant, question.answers) for question in questions],
        f"{rule.metric}{QUESTION_ONLY}": question_only_scores(questions, best, constant, rule),
    }
    if listed_answers is not None:
        values |= _coverage(questions, best, listed_answers, rule)
    by_type = _scores_by_type(questions, scores)
    return Report(
        task="vqa",
        metrics={name: _mean(own) for name, own in values.items()}
        | {f"{rule.metric}_{name}": _mean(own) for name, own in by_type.items()},
        counts={"questions": len(questions), "empty_answers": sum(not answer.strip() for answer in answers)}
        | {"different_answers": len(set(map(normal_form, answers)))}
        | {f"questions_{name}": len(own) for name, own in by_type.items()}
        | dict(counts or {}),
        settings={"references_are": "annotators" if rule.metric == "vqa_accuracy" else "members of one answer"}
        | {"most_frequent_answer": constant}
        | dict(settings or {}),
        seconds=seconds,
        items={"question": _items(questions, values)},
    )


def _items(questions: Sequence[Question], values: Mapping[str, Sequence[float]]) -> ItemScores:
    images = [question.image for question in questions if question.image is not None]
    return ItemScores(
        keys=[str(question.key) for question in questions],
        values=values,
        groups=images if len(images) == len(questions) else None,
        kinds={
            "of_answer_type_": [question.answer_type for question in questions],
            "of_question_type_": [question.question_type for question in questions],
        },
    )


def _coverage(
    questions: Sequence[Question], best: Sequence[str], listed_answers: Sequence[str], rule: AnswerRule
) -> dict[str, list[float]]:
    spelled = {rule.key(answer): answer for answer in reversed(listed_answers)}
    reachable = [
        max(
            (
                rule.accuracy(spelled[key], question.answers)
                for key in rule.soft_targets(question.answers)
                if key in spelled
            ),
            default=0.0,
        )
        for question in questions
    ]
    largest = [rule.accuracy(answer, question.answers) for answer, question in zip(best, questions, strict=True)]
    return {
        "answer_coverage": [float(found >= possible > 0) for found, possible in zip(reachable, largest, strict=True)],
        f"{rule.metric}{CEILING}": reachable,
    }


def _scores_by_type(questions: Sequence[Question], scores: Sequence[float]) -> dict[str, list[float]]:
    """Return the scores of every type of answer and question that the data names, in alphabetical order."""
    found: dict[tuple[str, str], list[float]] = {}
    for question, score in zip(questions, scores, strict=True):
        for kind, name in (("answer", question.answer_type), ("question", question.question_type)):
            if name is not None:
                found.setdefault((kind, name), []).append(score)
    return {f"of_{kind}_type_{name}": found[kind, name] for kind, name in sorted(found)}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _first(keys: Collection[str], wanted: Collection[str]) -> str:
    return next(key for key in keys if key in wanted)
