"""Tables (csv, tsv or another separator): a header, and one image, caption or question per row."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from sycoca.data.choices import check_choice
from sycoca.data.formats.image_files import ImageFiles, Names, open_image_files
from sycoca.data.formats.row_source import RowSource, source_from_rows
from sycoca.data.formats.rows import Columns, Row, row_from_fields
from sycoca.data.selection import EVERYTHING, Selection
from sycoca.data.table_rows import Quotes, TableRow, table_rows
from sycoca.file_names import IMAGE_SUFFIXES, has_suffix
from sycoca.texts import normal_form, shortened

TAB_NAME = "tab"
"""How a SPEC names the tab, which is awkward to type."""

_SEPARATORS = {"\t": TAB_NAME, ",": ",", ";": ";", "|": "|"}
"""What separates columns in tables of the field, and how a SPEC names it."""


def open_table(
    path: Path,
    *,
    separator: str,
    quotes: Quotes = "double",
    images: Path | None = None,
    columns: Columns | None = None,
    wanted: Selection = EVERYTHING,
    names: Names = "anywhere",
) -> RowSource:
    """Open a table in UTF-8, optionally compressed (``.gz``), whose first row names the columns.

    Fields may be quoted and then hold separators, line ends and doubled quotes, as spreadsheets write them, unless
    ``quotes`` says that quotes are text. An empty field says nothing, nor does a column without a name. Image names are
    relative to ``images``, a folder or zip file, or else to the file's own folder.
    """
    columns = Columns() if columns is None else columns
    files = open_image_files(path.parent if images is None else images, names)
    header = _read_header(path, separator, quotes, columns)
    place = header.index(columns.image)

    def is_row(cells: Sequence[str]) -> bool:
        """Whether the cells of a line that a quote has swallowed begin like those of a row."""
        return len(cells) >= len(header) and _is_image(cells[place], files)

    rows = (
        _parse_row(row, header, columns)
        for number, row in enumerate(table_rows(path, separator, quotes, is_row))
        if number > 0
    )
    return source_from_rows(path, rows, files, columns=columns, wanted=wanted, what="rows below its header")


def _read_header(path: Path, separator: str, quotes: Quotes, columns: Columns) -> list[str]:
    first = next(table_rows(path, separator, quotes), None)
    if first is None:
        raise ValueError(f"{path} is empty; its first row must name the columns")
    if first.problem is not None:
        raise ValueError(f"{path}: the header is broken: {first.problem}")
    header = [normal_form(name.strip()) for name in first.values]
    check_header(str(path), header, columns)
    return header


def _is_image(cell: str, files: ImageFiles) -> bool:
    name = cell.strip()
    return has_suffix(name, *IMAGE_SUFFIXES) or (name != "" and files.fingerprint(name) is not None)


def _parse_row(row: TableRow, header: Sequence[str], columns: Columns) -> Row:
    place = f"line {row.line}"
    if row.problem is not None:
        return Row(place=place, problem=row.problem)
    values = list(row.values)
    while len(values) > len(header) and not values[-1]:  # a spreadsheet fills rows up to the longest one
        values.pop()
    if len(values) != len(header):
        few_or_many = "few" if len(values) < len(header) else "many"
        problem = f"too {few_or_many} fields: {len(values)}, the header has {len(header)}; quote fields with separators"
        given = dict(zip(header, values, strict=False))
        return Row(place=place, image=given.get(columns.image), split=given.get(columns.split), problem=problem)
    given = {name: value for name, value in zip(header, values, strict=True) if name and value}
    return row_from_fields(given, columns, place)


def check_header(path: str, header: Sequence[str], columns: Columns) -> None:
    """Raise ValueError where the columns of a table lack what a SPEC names, images, or what is said about them."""
    has = shortened(" ".join(f"(it has {', '.join(filter(None, header))})".split()))
    twice = next((name for name, times in Counter(header).items() if name and times > 1), None)
    if twice is not None:
        raise ValueError(f"{path} has two columns {twice!r} {has}; rename one")
    for field, name in columns.renamed():
        check_choice(f"{path}: the column for {field}", name, header)
    if columns.image not in header:
        _refuse_other_separator(path, header)
        raise ValueError(
            f"{path} has no column {columns.image!r} {has}; say which one names the image files:"
            f" ?image={_likely_image_column(header, columns.image)}"
        )
    texts = (columns.caption, columns.captions, columns.question, columns.label)
    if not set(texts).intersection(header):
        meant = next((f"?{text}={name}" for text in texts for name in header if name.lower() == text.lower()), None)
        raise ValueError(
            f"{path} has none of the columns {', '.join(dict.fromkeys(texts))} {has}; say which one describes the"
            f" images: {meant or '?caption=COLUMN, ?question=COLUMN or ?label=COLUMN'}"
        )


def _refuse_other_separator(path: str, header: Sequence[str]) -> None:
    """Raise ValueError for a header of one column whose name holds what may separate several."""
    for sign, value in _SEPARATORS.items() if len(header) == 1 else ():
        if sign in header[0]:
            raise ValueError(f"{path} has a single column, {header[0]!r}; if it is several, write ?separator={value}")


def _likely_image_column(header: Sequence[str], wanted: str) -> str:
    same = [name for name in header if name.lower() == wanted.lower()]
    return next(iter([*same, *(name for name in header if "file" in name.lower() or "path" in name.lower())]), "COLUMN")
