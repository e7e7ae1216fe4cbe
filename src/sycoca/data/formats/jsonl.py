"""JSON Lines: {"image", "captions": [..]} or {"image", "question", "answers": [..]} in each line, or a list of them."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from sycoca.data.choices import check_choice
from sycoca.data.formats.image_files import Names, open_image_files
from sycoca.data.formats.row_source import RowSource, source_from_rows
from sycoca.data.formats.row_values import shown
from sycoca.data.formats.rows import Columns, Row, row_from_json
from sycoca.data.selection import EVERYTHING, Selection
from sycoca.data.text_files import begins_with_list, read_any_json, read_lines
from sycoca.facts.input_limits import InputLimitError


def open_jsonl(
    path: Path,
    *,
    images: Path | None = None,
    columns: Columns | None = None,
    wanted: Selection = EVERYTHING,
    names: Names = "anywhere",
) -> RowSource:
    """Open a JSON Lines file, optionally compressed (``.gz``), or one JSON list of what the lines would be.

    Image names are relative to ``images``, a folder or zip file, or else to the file's own folder. ``columns`` maps
    fields with other names; lists and single values are both fine for captions and for answers.
    """
    columns = Columns() if columns is None else columns
    files = open_image_files(path.parent if images is None else images, names)
    return source_from_rows(path, _read_rows(path, columns), files, columns=columns, wanted=wanted)


def _read_rows(path: Path, columns: Columns) -> Iterator[Row]:
    seen: set[str] = set()
    entries = _entries(path)
    for row in _line_rows(path, columns) if entries is None else _list_rows(entries, columns):
        seen.update(row.given)
        yield row
    if seen:
        for field, name in columns.renamed():
            check_choice(f"{path}: the field for {field}", name, sorted(seen))


def _entries(path: Path) -> list[object] | None:
    """Return the entries of a file that is one list; None for lines, of which a broken one may look like a list."""
    if not begins_with_list(path):
        return None
    try:
        return read_any_json(path)
    except InputLimitError:
        raise
    except ValueError:
        return None


def _list_rows(entries: Sequence[object], columns: Columns) -> Iterator[Row]:
    for number, given in enumerate(entries, start=1):
        yield _row(given, shown(given), columns, f"entry {number}")


def _line_rows(path: Path, columns: Columns) -> Iterator[Row]:
    for number, line in enumerate(read_lines(path), start=1):
        if not line.isspace():
            yield _parse_row(line, columns, f"line {number}")


def _parse_row(line: bytes, columns: Columns, place: str) -> Row:
    try:
        given = json.loads(line.decode())
    except UnicodeDecodeError as error:
        return Row(place=place, problem=f"not UTF-8 (byte {error.start + 1} of the line); save the file as UTF-8")
    # Deeply nested brackets exhaust the stack.
    except (ValueError, RecursionError) as error:
        return Row(place=place, problem=f"not JSON: {error}")
    return _row(given, line.strip()[:80].decode(errors="replace"), columns, place)


def _row(given: object, begin: str, columns: Columns, place: str) -> Row:
    if not isinstance(given, dict):
        return Row(place=place, problem=f'expected {{"image": name, "captions": [..]}}, got {begin}')
    return row_from_json(given, columns, place)
