"""Files of human judgments of captions: JSON Lines or a table of image, caption and score."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sycoca.data.formats.repeated_ids import entry_id
from sycoca.data.formats.row_values import as_text, shown
from sycoca.data.table_rows import table_rows
from sycoca.data.text_files import read_text_lines
from sycoca.file_names import has_suffix
from sycoca.texts import has_surrogates, is_visible

_SEPARATORS: Mapping[str, str] = {".csv": ",", ".tsv": "\t"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgment:
    """What one person, or several on average, said about a caption of an image."""

    image: str
    """Name or id of the image."""

    caption: str
    score: float
    """Higher is better; the scale is the file's own."""


def read_judgments(path: Path) -> list[Judgment]:
    """Return the judgments of lines {"image", "caption", "score"} (*.jsonl) or of a table (*.csv, *.tsv), or their .gz.

    The image may be called "image_id". A list of scores gives one judgment per score, since people who disagree are
    ties that no ranking can order. Raises ValueError that names file and line where one is wrong or there is none.
    """
    judgments = [judgment for where, entry in _entries(path) for judgment in _judgments(entry, where)]
    if not judgments:
        raise ValueError(f"{path} holds no judgments")
    return judgments


def _entries(path: Path) -> Iterator[tuple[str, object]]:
    for suffix, separator in _SEPARATORS.items():
        if has_suffix(path, suffix, f"{suffix}.gz"):
            yield from _table_entries(path, separator)
            return
    for number, line in enumerate(read_text_lines(path), start=1):
        if not line.isspace():
            where = f"{path}, line {number}"
            try:
                yield where, json.loads(line)
            # Deeply nested brackets exhaust the stack.
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{where} is not JSON: {error}") from error


def _table_entries(path: Path, separator: str) -> Iterator[tuple[str, object]]:
    header: list[str] | None = None
    for row in table_rows(path, separator, remedy="double the quotes inside of fields"):
        where = f"{path}, line {row.line}"
        if row.problem is not None:
            raise ValueError(f"{where}: {row.problem}")
        if header is None:
            header = [name.strip() for name in row.values]
            continue
        if len(row.values) != len(header):
            raise ValueError(f"{where} has {len(row.values)} fields, the header has {len(header)}")
        yield where, dict(zip(header, row.values, strict=True))


def _judgments(entry: object, where: str) -> Iterator[Judgment]:
    if not isinstance(entry, Mapping):
        raise ValueError(f'{where}: expected {{"image", "caption", "score"}}, got {shown(entry)}')
    image = as_text(entry_id(entry, "image" if "image" in entry else "image_id"))
    caption, score = entry.get("caption"), entry.get("score")
    if image is None or not is_visible(image):
        raise ValueError(f'{where}: "image" must be the name or id of an image, got {shown(image)}')
    if not isinstance(caption, str) or has_surrogates(caption) or not is_visible(caption):
        raise ValueError(f'{where}: "caption" must be a text that can be read, got {shown(caption)}')
    scores = score if isinstance(score, list) else [score]
    if not scores:
        raise ValueError(f'{where}: "score" is an empty list; write a number')
    for one in scores:
        yield Judgment(image=image, caption=caption, score=_number(one, where))


def _number(value: object, where: str) -> float:
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f'{where}: "score" must be a number, got {shown(value)}')
    return number
