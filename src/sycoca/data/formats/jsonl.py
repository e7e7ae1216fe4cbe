"""JSON Lines: {"image", "captions": [..]} or {"image", "question", "answers": [..]} in each line."""

import json
from collections.abc import Iterator
from pathlib import Path

from sycoca.data.choices import check_choice
from sycoca.data.formats.image_files import Names, open_image_files
from sycoca.data.formats.row_source import RowSource, source_from_rows
from sycoca.data.formats.rows import Columns, Row, row_from_json
from sycoca.data.selection import EVERYTHING, Selection
from sycoca.data.text_files import read_lines

_ARRAY = "part of a JSON array, not of JSON Lines; write an object per line without commas: jq -c '.[]' OLD > NEW.jsonl"


def open_jsonl(
    path: Path,
    *,
    images: Path | None = None,
    columns: Columns | None = None,
    wanted: Selection = EVERYTHING,
    names: Names = "anywhere",
) -> RowSource:
    """Open a JSON Lines file, optionally compressed (``.gz``).

    Image names are relative to ``images``, a folder or zip file, or else to the file's own folder. ``columns`` maps
    fields with other names; lists and single values are both fine for captions and for answers.
    """
    columns = Columns() if columns is None else columns
    files = open_image_files(path.parent if images is None else images, names)
    return source_from_rows(path, _read_rows(path, columns), files, columns=columns, wanted=wanted)


def _is_of_array(line: bytes) -> bool:
    """Return whether a line stands in a JSON array, of which most tools write one object a line."""
    return line in (b"[", b"]") or (line.startswith((b"{", b"[{")) and line.endswith((b"},", b"}]")))


def _read_rows(path: Path, columns: Columns) -> Iterator[Row]:
    seen: set[str] = set()
    for number, line in enumerate(read_lines(path), start=1):
        if not line.isspace():
            row = _parse_row(line, columns, f"line {number}")
            seen.update(row.given)
            yield row
    if seen:
        for field, name in columns.renamed():
            check_choice(f"{path}: the field for {field}", name, sorted(seen))


def _parse_row(line: bytes, columns: Columns, place: str) -> Row:
    try:
        given = json.loads(line.decode())
    except UnicodeDecodeError as error:
        return Row(place=place, problem=f"not UTF-8 (byte {error.start + 1} of the line); save the file as UTF-8")
    # Deeply nested brackets exhaust the stack.
    except (ValueError, RecursionError) as error:
        return Row(place=place, problem=_ARRAY if _is_of_array(line.strip()) else f"not JSON: {error}")
    if not isinstance(given, dict):
        begin = line.strip()[:80].decode(errors="replace")
        return Row(place=place, problem=f'expected {{"image": name, "captions": [..]}}, got {begin}')
    return row_from_json(given, columns, place)
