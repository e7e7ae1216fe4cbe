"""Rows of tables as users have them; a quote that never ends takes its own line with it and no other."""

import csv
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, final

from sycoca.data.text_files import read_text_lines

Quotes = Literal["double", "none"]
"""What a double quote is: what fields with separators or line ends stand in, or text like any other."""


_QUOTING: Mapping[Quotes, Literal[0, 3]] = {"double": csv.QUOTE_MINIMAL, "none": csv.QUOTE_NONE}


_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
"""What spreadsheets may write before everything else."""


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row of a table."""

    line: int
    """Number of its first line in the file."""

    values: Sequence[str]
    """Its fields; none where there is a problem."""

    problem: str | None = None
    """Why the row's first line cannot be read."""


def table_rows(
    path: Path,
    separator: str,
    quotes: Quotes = "double",
    is_row: Callable[[Sequence[str]], bool] = lambda _cells: False,
    remedy: str = "where quotes are plain text in this file: ?quotes=none",
) -> Iterator[TableRow]:
    """Yield the rows of a table in UTF-8 that are not blank.

    A quoted field may hold line ends. Where its quote has no end that fits, or it swallows lines that ``is_row``, given
    their cells, knows as rows, the line that the quote opens in is a problem, and reading goes on behind that line.
    Where the first line has a space behind every separator, spaces behind separators are no part of a field.
    A first line such as ``sep=;`` names the separator. ``remedy`` ends what is said about quotes.
    """
    lines = _Lines(path)
    if named := _SEPARATOR_LINE.fullmatch(lines.first().strip()):
        separator = named[1]
        next(lines)
    quoting = _QUOTING[quotes]
    new_reader = partial(
        csv.reader,
        lines,
        delimiter=separator,
        quoting=quoting,
        skipinitialspace=_has_spaces(lines.first(), separator),
        # A quote that never ends would swallow the rest of the file without a word.
        strict=True,
    )
    reader = new_reader()
    hint = "" if quoting == csv.QUOTE_NONE else f"; {remedy}"
    while (row := _next_row(reader, lines, hint)) is not None:
        problem = row.problem or _swallowed(lines.of_row[1:], separator, is_row, remedy)
        if problem is not None:
            # A reader that has failed keeps its partial row.
            reader = new_reader()
            lines.give_back_all_but_first()
            yield TableRow(row.line, (), problem)
        elif row.values:
            yield row


@final
class _Lines:
    """The lines of a file, of which some may be read again."""

    def __init__(self, path: Path) -> None:
        self._numbered = enumerate(read_text_lines(path), start=1)
        self._again: deque[tuple[int, str]] = deque()
        self.of_row: list[tuple[int, str]] = []
        """Those that the current row has taken, each with its number."""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        numbered = self._again.popleft() if self._again else next(self._numbered)
        self.of_row.append(numbered)
        return numbered[1]

    def first(self) -> str:
        """Return the first line without consuming it; an empty text for an empty file."""
        self.of_row = []
        line = next(self, "")
        self._again.extendleft(self.of_row)
        return line

    def give_back_all_but_first(self) -> None:
        """Return all lines of the row but the first to the reader."""
        self._again.extendleft(reversed(self.of_row[1:]))


def _next_row(reader: Iterator[list[str]], lines: _Lines, remedy: str) -> TableRow | None:
    lines.of_row = []
    try:
        values = next(reader, None)
    except csv.Error as error:
        return TableRow(lines.of_row[0][0], (), f"broken quotes or too long a field: {error}{remedy}")
    return None if values is None else TableRow(lines.of_row[0][0], values)


def _swallowed(
    lines: Sequence[tuple[int, str]], separator: str, is_row: Callable[[Sequence[str]], bool], remedy: str
) -> str | None:
    """Return what is wrong with a row whose quoted field goes on over these lines; None where nothing is."""
    rows = [number for number, line in lines if is_row(line.rstrip("\r\n").split(separator))]
    if not rows:
        return None
    return (
        f"a quote opens here and ends in line {lines[-1][0]}; line {rows[0]} in between looks like a row of its own;"
        f" {remedy}"
    )


def _has_spaces(line: str, separator: str) -> bool:
    behind = line.split(separator)[1:]
    return separator != " " and len(behind) > 0 and all(cell.startswith(" ") for cell in behind)
