"""Tables (csv, tsv or another separator): a header, and one image, caption or question per row."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from sycoca.data.choices import check_choice
from sycoca.data.formats.image_files import open_image_files
from sycoca.data.formats.row_source import RowSource, source_from_rows
from sycoca.data.formats.rows import Columns, Row, row_from_fields
from sycoca.data.selection import EVERYTHING, Selection
from sycoca.data.text_files import read_lines


def open_table(
    path: Path,
    *,
    separator: str,
    images: Path | None = None,
    columns: Columns | None = None,
    wanted: Selection = EVERYTHING,
) -> RowSource:
    """Open a table in UTF-8, optionally compressed (``.gz``), whose first row names the columns.

    Fields may be quoted and then hold separators, line ends and doubled quotes, as spreadsheets write them. An empty
    field is missing. Image names are relative to ``images``, a folder or zip file, or else to the file's own folder.
    """
    columns = Columns() if columns is None else columns
    files = open_image_files(path.parent if images is None else images)
    rows = _read_rows(path, separator, columns)
    return source_from_rows(path, rows, files, columns=columns, wanted=wanted, what="rows below its header")


def _read_rows(path: Path, separator: str, columns: Columns) -> Iterator[Row]:
    # Strict: an unclosed quote would silently swallow the rest of the file.
    reader = csv.reader(_decoded_lines(path), delimiter=separator, strict=True)
    header: list[str] | None = None
    while True:
        place = f"line {reader.line_num + 1}"
        try:
            values = next(reader, None)
        except csv.Error as error:
            if header is None:
                raise ValueError(f"{path}: the header is broken: {error}") from error
            yield Row(place=place, problem=f"broken quotes or too long a field: {error}")
            continue
        if values is None:
            break
        if header is None:
            header = [name.strip() for name in values]
            _check_header(path, header, columns)
        elif values:
            yield _parse_row(values, header, columns, place)
    if header is None:
        raise ValueError(f"{path} is empty; its first row must name the columns")


def _parse_row(values: Sequence[str], header: Sequence[str], columns: Columns, place: str) -> Row:
    if len(values) != len(header):
        few_or_many = "few" if len(values) < len(header) else "many"
        problem = f"too {few_or_many} fields: {len(values)}, the header has {len(header)}; quote fields with separators"
        given = dict(zip(header, values, strict=False))
        return Row(place=place, image=given.get(columns.image), split=given.get(columns.split), problem=problem)
    given = {name: value for name, value in zip(header, values, strict=True) if value}
    return row_from_fields(given, columns, place)


def _check_header(path: Path, header: Sequence[str], columns: Columns) -> None:
    has = f"(it has {', '.join(header)})"
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"{path} has two columns {twice!r} {has}; rename one")
    for field, name in columns.renamed():
        check_choice(f"{path}: the column for {field}", name, header)
    if columns.image not in header:
        hint = "; is ?separator= right?" if len(header) == 1 else ""
        raise ValueError(
            f"{path} has no column {columns.image!r} {has}; say which one names the image files:"
            f" ?image={_likely_image_column(header)}{hint}"
        )
    texts = (columns.caption, columns.captions, columns.question, columns.label)
    if not set(texts).intersection(header):
        raise ValueError(
            f"{path} has none of the columns {', '.join(dict.fromkeys(texts))} {has}; say which one describes the"
            " images: ?caption=COLUMN, ?question=COLUMN or ?label=COLUMN"
        )


def _likely_image_column(header: Sequence[str]) -> str:
    return next((name for name in header if "file" in name.lower() or "path" in name.lower()), "COLUMN")


def _decoded_lines(path: Path) -> Iterator[str]:
    for number, line in enumerate(read_lines(path), start=1):
        try:
            yield line.decode()
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{path}, line {number} is not UTF-8 (byte {error.start + 1} of the line); save the file as UTF-8"
            ) from error
