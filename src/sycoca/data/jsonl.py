"""Captions from a JSON-lines file, one image a line."""

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from sycoca.data.choices import check_choice
from sycoca.data.image_files import StoredImage, open_image_files
from sycoca.data.samples import ImageTextSample, Question
from sycoca.data.selection import select


@dataclass(frozen=True, kw_only=True, slots=True)
class _Row:
    """What one line says."""

    image: str
    captions: tuple[str, ...]
    split: str | None
    label: str | None
    questions: tuple[Question, ...]


@final
class JsonlSource:
    """Lines of {"image", "captions": [..]} or {"image", "caption"}; optional "split", "label", "questions".

    Image names are relative to ``images``, a folder or zip file, or else to the file's own folder. Without a
    split all lines are taken.
    """

    def __init__(
        self,
        path: Path,
        *,
        images: Path | None = None,
        split: str | None = None,
        limit: int | None = None,
        seed: int | None = None,
    ) -> None:
        rows = list(_read_rows(path))
        if split is not None:
            rows = _rows_of_split(path, rows, split)
        if not rows:
            raise ValueError(f"{path} has no lines")
        self._rows = select(rows, limit, seed)
        self._images = open_image_files(path.parent if images is None else images)
        self.name = path.name if split is None else f"{path.name} ({split})"

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> ImageTextSample:
        row = self._rows[index]
        return ImageTextSample(
            key=row.image,
            captions=row.captions,
            open_image=StoredImage(self._images, row.image),
            label=row.label,
            questions=row.questions,
        )


def _read_rows(path: Path) -> Iterator[_Row]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield _parse_row(line, f"{path}, line {number}")


def _parse_row(line: str, where: str) -> _Row:
    try:
        fields = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"{where}: not JSON: {error}") from error
    if not isinstance(fields, dict) or not isinstance(fields.get("image"), str):
        raise ValueError(f'{where}: expected {{"image": name, "captions": [..]}}, got {line.strip()[:80]}')
    return _Row(
        image=fields["image"],
        captions=_parse_captions(fields, where),
        split=_optional_text(fields, "split", where),
        label=_optional_text(fields, "label", where),
        questions=_parse_questions(fields.get("questions", []), where),
    )


def _parse_captions(fields: dict[str, Any], where: str) -> tuple[str, ...]:
    captions = [fields["caption"]] if "caption" in fields else fields.get("captions")
    if not isinstance(captions, list) or not captions or not all(_is_text(caption) for caption in captions):
        raise ValueError(f'{where}: "captions" must be a list of one or more texts (or "caption" one text)')
    return tuple(captions)


def _parse_questions(entries: Any, where: str) -> tuple[Question, ...]:
    try:
        pairs = [(entry["question"], entry["answer"]) for entry in entries]
    except (TypeError, KeyError) as error:
        raise ValueError(f'{where}: "questions" must be a list of {{"question", "answer"}}') from error
    if not all(_is_text(text) for pair in pairs for text in pair):
        raise ValueError(f'{where}: every "question" and "answer" must be a text')
    return tuple(Question(question=question, answers=(answer,)) for question, answer in pairs)


def _optional_text(fields: dict[str, Any], name: str, where: str) -> str | None:
    value = fields.get(name)
    if value is not None and not _is_text(value):
        raise ValueError(f'{where}: "{name}" must be a text, got {value!r}')
    return value


def _is_text(value: Any) -> bool:
    """Whether it is a text that can be encoded: JSON may hold halves of characters."""
    return isinstance(value, str) and not any("\ud800" <= letter <= "\udfff" for letter in value)


def _rows_of_split(path: Path, rows: list[_Row], split: str) -> list[_Row]:
    known = sorted({row.split for row in rows if row.split is not None})
    if not known:
        raise ValueError(f'{path} has no splits (no line has a "split"), so ?split={split} cannot be taken')
    check_choice(f"{path}: split", split, known)
    return [row for row in rows if row.split == split]
