"""Validation of rows: what is usable, and a message about everything else."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import final

from sycoca.data.formats.list_cells import is_list_of_texts
from sycoca.data.formats.row_values import as_label, as_name, as_text, either, listed, shown
from sycoca.data.formats.rows import Columns, QuestionRow, Row
from sycoca.data.samples import Question
from sycoca.facts.input_limits import InputLimitError, input_limit, stated_limit
from sycoca.file_names import meant_name
from sycoca.texts import has_surrogates, is_visible, normal_form
from sycoca.unusable import SkippedSample, SkipReason


@dataclass(slots=True)
class Known:
    """The usable content of one image so far."""

    captions: list[str] = field(default_factory=list)
    generated_captions: list[str] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    label: str | None = None
    split: str | None = None


@dataclass(frozen=True, slots=True)
class _Pending:
    """A row that lacks something; whether that is an error is known at the end of the file."""

    number: int
    place: str
    image: str
    has_label: bool = False
    has_generated: bool = False


@dataclass(frozen=True, slots=True)
class _Skip:
    """Something that cannot be used."""

    number: int
    skipped: SkippedSample
    caption_of: str | None = None
    """The image, where a caption is left out and nothing else."""


@final
class RowValidator:
    """Validates the rows of a file one by one; at the end it has the usable and the unusable ones.

    A caption, question or answer may be missing where the whole file has none of its kind: lists of labels
    have no captions, and the answers to test questions are secret. Labels, splits and answers, which are compared, come
    in Unicode's composed form; captions and questions stay as they are written.
    """

    def __init__(
        self,
        file: str,
        columns: Columns,
        *,
        is_same_file: Callable[[str, str], bool] = lambda _one, _other: False,
        can_name_columns: bool = True,
    ) -> None:
        """Begin a file; ``is_same_file`` tells whether two names that look alike are of one image.

        ``can_name_columns`` says whether users can (``?caption=NAME``): the formats of others have names of their own.
        """
        self.columns = columns
        self._can_name_columns = can_name_columns
        self._file = file
        self._is_same_file = is_same_file
        self._number = 0
        self._known: dict[str, Known] = {}
        self._names: dict[str, str] = {}
        self._in_several_splits: dict[str, str] = {}
        self._skipped: list[_Skip] = []
        self._bare: list[_Pending] = []
        self._unanswered: list[_Pending] = []
        self._has_captions = self._has_questions = self._has_answers = False

    def split_of(self, row: Row) -> str | None:
        """Return the row's split; a value that is not text becomes the row's problem."""
        split = as_label(row.split)
        if split is None and row.split is not None and row.problem is None:
            row.problem = f'"{self.columns.split}" must be a text, got {shown(row.split)}'
        return split

    def add(self, row: Row) -> None:
        """Take the content of a row, or record what is wrong with it."""
        self._number += 1
        image = self._image_name(row)
        if image is None:
            return
        known = self._known.setdefault(image, Known())
        label, split = as_label(row.label), as_label(row.split)
        if not self._has_good_label(row, known, label, image):
            return
        known.label = label or known.label
        if known.split is not None and split not in (None, known.split):
            self._in_several_splits.setdefault(image, f"{known.split} and {split}")
        known.split = known.split or split
        captions = listed(row.captions)
        self._has_captions |= bool(captions)
        known.captions += self._captions(row, image, captions, self.columns.caption)
        generated = listed(row.generated_captions)
        known.generated_captions += self._captions(row, image, generated, self.columns.generated)
        known.questions += [
            question for entry in row.questions if (question := self._question(row, image, entry)) is not None
        ]
        if not captions and not row.questions:
            self._bare.append(_Pending(self._number, row.place, image, label is not None, bool(generated)))

    def result(self) -> tuple[dict[str, Known], list[SkippedSample]]:
        """Return the usable content by image, and the unusable samples in the order of the file."""
        for pending in self._bare:
            self._check_bare(pending)
        if self._has_answers:
            for pending in self._unanswered:
                detail = f"no {either(self.columns.answer_fields)}; answer the question or remove it"
                self._skip("no answer", pending.place, detail, pending.image, pending.number)
                known = self._known[pending.image]
                known.questions = [question for question in known.questions if question.answers]
        has_texts = self._has_captions or self._has_questions
        usable = {
            image: known
            for image, known in self._known.items()
            if known.captions or known.questions or (known.label is not None and not has_texts)
        }
        return usable, [
            replace(skip.skipped, image_stays=skip.caption_of in usable and bool(usable[skip.caption_of].captions))
            for skip in sorted(self._skipped, key=lambda skip: skip.number)
        ]

    def remarks(self) -> tuple[str, ...]:
        """Return what is no error of a row and yet worth a look."""
        if not self._in_several_splits:
            return ()
        image, splits = next(iter(self._in_several_splits.items()))
        number = len(self._in_several_splits)
        return (
            f"{self._file}: {number:,} image{'' if number == 1 else 's'} in more than one split, such as {image} in"
            f" {splits}; read as a whole, the file puts each into the first",
        )

    def _check_bare(self, pending: _Pending) -> None:
        columns = self.columns
        if self._has_questions and not self._has_captions:
            detail = f'no "{columns.question}"; ask one{self._hint("question")}'
            self._skip("no question", pending.place, detail, pending.image, pending.number)
        elif pending.has_generated and self._known[pending.image].captions:
            return  # other rows have the image's original captions
        elif self._has_captions or not pending.has_label:
            detail = f"no {either(columns.caption_fields)}; write one{self._hint('caption')}"
            self._skip("no caption", pending.place, detail, pending.image, pending.number, is_caption=True)

    def _image_name(self, row: Row) -> str | None:
        """Return the image's name; None where it or the row is invalid, which is recorded."""
        image = as_name(row.image)
        if row.problem is not None:
            self._skip("malformed row", row.place, row.problem, image)
            return None
        if image is not None:
            return self._one_spelling(image)
        column = self.columns.image
        if row.image is None and column not in row.given:
            has = ", ".join(f'"{name}"' for name in list(row.given)[:8])
            named = next((name for name in row.given if str(name).lower() == column.lower()), "NAME")
            remedy = f"; name the field that holds it with ?image={named}" if self._can_name_columns else ""
            detail = f'no "{column}" (it has {has or "nothing"}){remedy}'
        else:
            detail = f'"{column}" must be the name of an image file, got {shown(row.image)}'
        self._skip("no image name", row.place, detail, None)
        return None

    def _hint(self, option: str) -> str:
        return f", or name the field that holds it with ?{option}=NAME" if self._can_name_columns else ""

    def _one_spelling(self, image: str) -> str:
        """Return the name by which the image came first, where it is the same file under another spelling."""
        first = self._names.setdefault(meant_name(image), image)
        return first if first != image and self._is_same_file(first, image) else image

    def _has_good_label(self, row: Row, known: Known, label: str | None, image: str) -> bool:
        column = self.columns.label
        if row.label is not None and (label is None or not is_visible(label)):
            detail = f'"{column}" must be a text or a whole number, got {shown(row.label)}'
        elif label is not None and known.label not in (None, label):
            detail = f'"{column}" is {label!r}, but an earlier row of the image says {known.label!r}; keep one of them'
        else:
            return True
        self._skip("malformed row", row.place, detail, image)
        return False

    def _captions(self, row: Row, image: str, values: list[object], column: str) -> list[str]:
        """Return the usable captions of a kind, which is named after its column; the others are recorded."""
        names = [f"{column} {number}" if len(values) > 1 else column for number in range(1, len(values) + 1)]
        option = "captions" if column == self.columns.caption else None
        checked = (self._caption(row, image, value, name, option) for value, name in zip(values, names, strict=True))
        return [caption for caption in checked if caption is not None]

    def _caption(self, row: Row, image: str, text: object, name: str, option: str | None) -> str | None:
        if text is None:
            detail = f'"{name}" is null; write a text or remove it'
            self._skip("no caption", row.place, detail, image, is_caption=True)
        elif not isinstance(text, str) or has_surrogates(text):
            detail = f'"{name}" must be a text, got {shown(text)}'
            self._skip("caption is no text", row.place, detail, image, is_caption=True)
        elif not is_visible(text):
            detail = f'"{name}" has nothing to read in it; write a text or remove it'
            self._skip("empty caption", row.place, detail, image, is_caption=True)
        elif is_list_of_texts(text):
            detail = self._list_instead(name, option, text)
            self._skip("caption is no text", row.place, detail, image, is_caption=True)
        else:
            return text
        return None

    def _question(self, row: Row, image: str, entry: QuestionRow) -> Question | None:
        self._has_questions = True
        columns = self.columns
        if entry.question is None or entry.question == "":
            detail = f'an answer, but no "{columns.question}"; ask one{self._hint("question")}'
            return self._skip("no question", row.place, detail, image)
        if not isinstance(entry.question, str) or has_surrogates(entry.question):
            detail = f'"{columns.question}" must be a text, got {shown(entry.question)}'
            return self._skip("malformed row", row.place, detail, image)
        if not is_visible(entry.question):
            detail = f'"{columns.question}" has nothing to read in it; ask something or remove it'
            return self._skip("no question", row.place, detail, image)
        answers = listed(entry.answers)
        texts = [text for answer in answers if (text := as_text(answer)) is not None and is_visible(text)]
        if len(texts) < len(answers):
            bad = next(answer for answer in answers if (text := as_text(answer)) is None or not is_visible(text))
            detail = f'"{columns.answer}" must be a text that can be read, got {shown(bad)}'
            return self._skip("no answer", row.place, detail, image)
        if any(map(is_list_of_texts, texts)):
            detail = self._list_instead(columns.answer, "answers", next(filter(is_list_of_texts, texts)))
            return self._skip("no answer", row.place, detail, image)
        if texts:
            self._has_answers = True
        else:
            self._unanswered.append(_Pending(self._number, row.place, image))
        return Question(
            question=entry.question,
            answers=tuple(map(normal_form, texts)),
            key=as_text(entry.key),
            question_type=as_text(entry.question_type),
            answer_type=as_text(entry.answer_type),
        )

    def _list_instead(self, field: str, option: str | None, text: str) -> str:
        remedy = f"; ?{option}={field} reads each of them" if option and self._can_name_columns else ""
        return f'"{field}" is a list written as one text, {shown(text)}{remedy}'

    def _skip(
        self,
        reason: SkipReason,
        place: str,
        detail: str,
        image: str | None,
        number: int | None = None,
        *,
        is_caption: bool = False,
    ) -> None:
        """Record what is wrong, under the image's name where it has one."""
        name = f"{self._file if image is None else image}, {place}"
        skipped = SkippedSample(name=name, reason=reason, detail=f"{self._file}, {place}: {detail}")
        if len(self._skipped) >= input_limit("unusable_rows"):
            raise InputLimitError(f"{skipped.detail}; {stated_limit('unusable_rows')}")
        self._skipped.append(_Skip(self._number if number is None else number, skipped, image if is_caption else None))
