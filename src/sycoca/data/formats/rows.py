"""What a row of any file says, unchecked: every reader yields these, and one place judges and joins them."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields


@dataclass(frozen=True, kw_only=True, slots=True)
class Columns:
    """What the fields of a table are called in a file."""

    image: str = "image"
    caption: str = "caption"
    captions: str = "captions"
    question: str = "question"
    answer: str = "answer"
    answers: str = "answers"
    label: str = "label"
    split: str = "split"

    def renamed(self) -> Iterator[tuple[str, str]]:
        """Yield the fields that are not called as usual, each with its name in the file."""
        for field in fields(self):
            name = getattr(self, field.name)
            if name != field.default:
                yield field.name, name


@dataclass(slots=True, kw_only=True)
class QuestionRow:
    """A question as a file holds it."""

    question: object
    answers: object = None
    """A text, a list of texts, or None."""

    key: object = None
    question_type: object = None
    answer_type: object = None


@dataclass(slots=True, kw_only=True)
class Row:
    """An image, or a part of what is known about it, as a file holds it."""

    place: str
    """Where in the file ("line 7")."""

    image: object = None
    captions: object = None
    """A text, a list of texts, or None."""

    questions: Sequence[QuestionRow] = ()
    label: object = None
    split: object = None
    given: Collection[str] = ()
    """The fields that the file has here, for the error about one that it lacks."""

    problem: str | None = None
    """What is wrong with the row as such."""


def row_from_fields(given: Mapping[str, object], columns: Columns, place: str) -> Row:
    """Return what named fields say: those of a line of JSON or of a table.

    Lists go before single values: where there are "answers", "answer" is only their summary.
    """
    questions = given.get("questions")
    if questions is None:
        questions = [given] if columns.question in given or _answers(given, columns) is not None else []
    if not isinstance(questions, list) or not all(isinstance(entry, Mapping) for entry in questions):
        return Row(
            place=place, given=given, problem='"questions" must be a list of {"question": text, "answers": [texts]}'
        )
    return Row(
        place=place,
        image=given.get(columns.image),
        captions=_first(given, columns.captions, columns.caption),
        questions=[row for entry in questions if (row := _question(entry, columns)) is not None],
        label=given.get(columns.label),
        split=given.get(columns.split),
        given=given,
    )


def _question(given: Mapping[str, object], columns: Columns) -> QuestionRow | None:
    question, answers = given.get(columns.question), _answers(given, columns)
    if question is None and answers is None:
        return None
    return QuestionRow(
        question=question,
        answers=answers,
        key=given.get("question_id"),
        question_type=given.get("question_type"),
        answer_type=given.get("answer_type"),
    )


def _answers(given: Mapping[str, object], columns: Columns) -> object:
    return _first(given, columns.answers, columns.answer)


def _first(given: Mapping[str, object], *names: str) -> object:
    return next((value for name in names if (value := given.get(name)) is not None), None)
