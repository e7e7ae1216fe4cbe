"""The texts of a table's rows, validated as rows of other formats are: once all, and again each that is asked for."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, final

import numpy as np
from jaxtyping import Int64

from sycoca.data.choices import check_choice
from sycoca.data.formats.row_checks import Known, RowValidator
from sycoca.data.formats.row_values import as_label, either
from sycoca.data.formats.rows import Columns, row_from_fields
from sycoca.data.selection import Selection, select
from sycoca.facts.input_limits import InputLimitError, input_limit, stated_limit
from sycoca.texts import normal_form
from sycoca.unusable import SkippedSample

if TYPE_CHECKING:
    from datasets import Dataset

_ROWS_AT_ONCE = 1_000

_NOTHING, _ONLY_A_LABEL, _TEXTS = range(3)
"""What a row has beside its image."""

Numbers = range | Int64[np.ndarray, " rows"]
"""Numbers of rows, in order."""


@final
class TextRows:
    """The rows of a table: which of them are usable, and what each has beside its image."""

    def __init__(self, name: str, table: "Dataset", columns: Columns, split: str | None) -> None:
        """Validate the texts of all rows, or of those of a split. Raises ValueError where images are no images."""
        self._name = name
        self._prefix = "row" if table.split is None else str(table.split)
        self._columns = columns
        self.images = _image_column(name, table, columns.image)
        """The column of images, not decoded."""
        self._texts = table.select_columns(_text_columns(table, columns))
        self._class_names = {
            column: feature.names for column, feature in self._texts.features.items() if hasattr(feature, "names")
        }
        self.skipped: list[SkippedSample] = []
        """Rows, and single captions, that are left out."""
        self.usable = self._checked(len(table))
        """The numbers of the usable rows."""
        if split is not None:
            self.usable = self._of_split(split)

    def key(self, number: int) -> str:
        """Return the name of a row's sample."""
        return f"{self._prefix}/{number}"

    def known(self, number: int) -> Known:
        """Return the texts of a usable row."""
        known, _ = self._read(number, self._texts[number])
        return Known() if known is None else known

    def _checked(self, num_rows: int) -> Numbers:
        """Return the numbers of the usable rows, and fill ``skipped``; labels alone do where no row has texts."""
        content = np.empty(num_rows, dtype=np.uint8)
        for number, given in self._all(num_rows):
            known, skipped = self._read(number, given)
            content[number] = _content(known)
            self._skip(skipped)
        most = max(int(content.max(initial=_NOTHING)), _ONLY_A_LABEL)
        is_bare = (content == _ONLY_A_LABEL) & (content < most)
        self._skip(self._bare(number) for number in np.flatnonzero(is_bare).tolist())
        usable = np.flatnonzero(content == most)
        return range(num_rows) if len(usable) == num_rows else usable

    def _all(self, num_rows: int) -> Iterator[tuple[int, Mapping[str, Any]]]:
        for start in range(0, num_rows, _ROWS_AT_ONCE):
            batch = self._texts[start : start + _ROWS_AT_ONCE]
            for row, values in enumerate(zip(*batch.values(), strict=True)):
                yield start + row, dict(zip(batch, values, strict=True))

    def _read(self, number: int, given: Mapping[str, Any]) -> tuple[Known | None, list[SkippedSample]]:
        """Return what is usable of a row, None where nothing is, and what is left out."""
        given = {column: self._plain(column, value) for column, value in given.items() if value is not None}
        key = self.key(number)
        row = row_from_fields(given, self._columns, f"row {number}")
        row.image = key
        validator = RowValidator(f"hf:{self._name}", self._columns)
        validator.split_of(row)
        validator.add(row)
        usable, skipped = validator.result()
        if key not in usable:
            return None, [SkippedSample(name=key, reason=one.reason, detail=one.detail) for one in skipped[:1]]
        return usable[key], [
            SkippedSample(name=f"{key}, text {place}", reason=one.reason, detail=one.detail, image_stays=True)
            for place, one in enumerate(skipped, start=1)
        ]

    def _plain(self, column: str, value: Any) -> Any:
        """Return a value; of a class its name, and nothing for -1, by which data sets mark rows without one."""
        names = self._class_names.get(column)
        if names is None or not isinstance(value, int):
            return value
        return names[value] if 0 <= value < len(names) else None

    def _bare(self, number: int) -> SkippedSample:
        place = f"hf:{self._name}, row {number}"
        missing = either(self._columns.caption_fields)
        detail = f"{place}: no {missing}; write one, or name the column that holds it with ?caption=NAME"
        return SkippedSample(name=self.key(number), reason="no caption", detail=detail)

    def _skip(self, skipped: Iterator[SkippedSample] | Sequence[SkippedSample]) -> None:
        for one in skipped:
            if len(self.skipped) >= input_limit("unusable_rows"):
                raise InputLimitError(f"{one.detail}; {stated_limit('unusable_rows')}")
            self.skipped.append(one)

    def _of_split(self, split: str) -> Numbers:
        """Return the usable rows whose column says that they are of a split."""
        column, split = self._columns.split, normal_form(split)
        if column not in self._texts.column_names:
            check_choice(f"hf:{self._name}: split", split, [normal_form(self._prefix)] if self._prefix != "row" else [])
            return self.usable
        splits = np.asarray([as_label(self._plain(column, value)) for value in self._texts[column][:]], dtype=object)
        known = sorted({value for value in splits.tolist() if value is not None})
        check_choice(f"hf:{self._name}: split", split, known)
        return np.asarray(self.usable)[(splits == split)[np.asarray(self.usable)]]


def chosen(numbers: Numbers, wanted: Selection) -> Numbers:
    """Return the rows that a selection limits these to."""
    if wanted.limit is None or wanted.limit >= len(numbers):
        return numbers
    if wanted.seed is None:
        return numbers[: wanted.limit]
    return np.asarray(numbers)[select(range(len(numbers)), wanted.limit, wanted.seed)]


def _content(known: Known | None) -> int:
    if known is None:
        return _NOTHING
    return _TEXTS if known.captions or known.questions else _ONLY_A_LABEL


def _text_columns(table: "Dataset", columns: Columns) -> list[str]:
    fields = ("caption", "captions", "generated", "question", "answer", "answers", "label", "split")
    named = {getattr(columns, field) for field in fields}
    others = {"questions", "question_id", "question_type", "answer_type"}
    return [column for column in table.column_names if column in named | others and column != columns.image]


def _image_column(name: str, table: "Dataset", column: str) -> "Dataset":
    """Return the column of images alone, whose rows are bytes, or bytes and path."""
    from datasets import Image, Value

    feature = table.features[column]
    alone = table.select_columns([column])
    if isinstance(feature, Image):
        return alone.cast_column(column, Image(decode=False))
    is_bytes = isinstance(feature, Value) and feature.dtype in ("binary", "large_binary")
    if is_bytes or (isinstance(feature, dict) and "bytes" in feature):
        return alone
    raise ValueError(
        f"hf:{name}: the column {column!r} holds no images ({feature}); name the one that does with ?image=COLUMN."
        " Addresses are not fetched"
    )
