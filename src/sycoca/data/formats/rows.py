"""Rows of any format, not validated: all readers yield them, and `row_checks` validates them."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

from sycoca.data.formats.list_cells import listed_text
from sycoca.data.formats.repeated_ids import entry_id
from sycoca.texts import normal_form


@dataclass(frozen=True, kw_only=True, slots=True)
class Columns:
    """Names of the fields in a file."""

    image: str = "image"
    caption: str = "caption"
    captions: str = "captions"
    generated: str = "generated_captions"
    question: str = "question"
    answer: str = "answer"
    answers: str = "answers"
    label: str = "label"
    split: str = "split"

    def renamed(self) -> Iterator[tuple[str, str]]:
        """Yield the fields with another name than usual, each with its name in the file."""
        for field in fields(self):
            name = getattr(self, field.name)
            if name != field.default:
                yield field.name, name

    @property
    def caption_fields(self) -> tuple[str, ...]:
        """The fields of captions, of which a row's first counts: those that were named, or else the usual two."""
        return _named_or_usual((self.captions, self.caption), ("captions", "caption"))

    @property
    def answer_fields(self) -> tuple[str, ...]:
        """The fields of answers, likewise."""
        return _named_or_usual((self.answers, self.answer), ("answers", "answer"))

    @property
    def names_questions(self) -> bool:
        """Whether a field of questions or answers was named."""
        return (self.question, self.answers, self.answer) != ("question", "answers", "answer")


def named_columns(named: Mapping[str, str]) -> Columns:
    """Return the columns of which some are named; a usual name counts, too: only "caption" named so, no "captions"."""
    own = {
        several: one
        for one, several in (("caption", "captions"), ("answer", "answers"))
        if named.get(one) == one and several not in named
    }
    return Columns(**{**named, **own})


def _named_or_usual(fields: tuple[str, str], usual: tuple[str, str]) -> tuple[str, ...]:
    if fields == usual:
        return usual
    return tuple(dict.fromkeys(name for name, other in zip(fields, usual, strict=True) if name != other))


@dataclass(slots=True, kw_only=True)
class QuestionRow:
    """A question as in the file."""

    question: object
    answers: object = None
    """A text, a list of texts, or None."""

    key: object = None
    question_type: object = None
    answer_type: object = None


@dataclass(slots=True, kw_only=True)
class Row:
    """An image, or some of its captions and questions, as in the file."""

    place: str
    """Position in the file ("line 7")."""

    image: object = None
    captions: object = None
    """A text, a list of texts, or None."""

    generated_captions: object = None
    """The same, written by a model."""

    questions: Sequence[QuestionRow] = ()
    label: object = None
    split: object = None
    given: Collection[str] = ()
    """The fields of the row, for the message about a missing one."""

    problem: str | None = None
    """Why the row as a whole is invalid."""


def row_from_json(given: Mapping[str, object], columns: Columns, place: str) -> Row:
    """Return the row of a JSON object, whose names may be spelled in any normal form of Unicode."""
    if not all(name.isascii() for name in given):
        given = {normal_form(name): value for name, value in given.items()}
    return row_from_fields(given, columns, place)


def row_from_fields(given: Mapping[str, object], columns: Columns, place: str) -> Row:
    """Return a row of named fields, of a JSON object or a table.

    Fields that were named take precedence over others, and of the usual ones lists over single values: "answer" is only
    a summary of "answers".
    """
    has_own = columns.question in given or _answers(given, columns) is not None
    questions = None if has_own and columns.names_questions else _as_list(given.get("questions"))
    if questions is None:
        questions = [given] if has_own else []
    if not isinstance(questions, list) or not all(isinstance(entry, Mapping) for entry in questions):
        return Row(
            place=place, given=given, problem='"questions" must be a list of {"question": text, "answers": [texts]}'
        )
    return Row(
        place=place,
        image=given.get(columns.image),
        captions=_first(given, columns.caption_fields, columns.captions),
        generated_captions=_as_list(given.get(columns.generated)),
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
        key=entry_id(given, "question_id"),
        question_type=given.get("question_type"),
        answer_type=given.get("answer_type"),
    )


def _answers(given: Mapping[str, object], columns: Columns) -> object:
    return answer_texts(_first(given, columns.answer_fields, columns.answers))


def answer_texts(answers: object) -> object:
    """Return the texts of [{"answer": text}, ..], or of a plain list of texts."""
    if not isinstance(answers, list):
        return answers
    return [entry.get("answer") if isinstance(entry, Mapping) else entry for entry in answers]


def _first(given: Mapping[str, object], names: Sequence[str], several: str) -> object:
    """Return the first of these fields that is there; that of ``several`` texts may be a list written as text."""
    values = (_as_list(given.get(name)) if name == several else given.get(name) for name in names)
    return next((value for value in values if value is not None), None)


def _as_list(value: object) -> object:
    found = listed_text(value) if isinstance(value, str) else None
    return value if found is None else found
