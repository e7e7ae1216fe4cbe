"""The lines of JSON Lines files: read one by one, and set aside where they are damaged.

The lines that a healed file loses are in FILE.damaged, as they were.
"""

import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, pairwise
from pathlib import Path
from typing import Any, BinaryIO

from sycoca.facts.input_limits import input_limit
from sycoca.outputs.atomic import atomic_file, errors_naming
from sycoca.outputs.set_aside import free_name, set_aside_unusable, why_unusable

logger = logging.getLogger(__name__)

Record = dict[str, Any]

Accepts = Callable[[Record], bool]
"""Whether an object is a record of the file."""

_MOST_NUMBERS_SHOWN = 5
_COPIED_AT_ONCE = 2**20


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a file of records."""

    number: int
    """From 1."""

    start: int
    """Position of its first byte."""

    end: int
    """Position behind its newline, or of the file's end."""

    is_whole: bool
    """Whether it ends with a newline."""

    is_too_long: bool
    """Whether it has more bytes than are read of a record."""

    begin: bytes
    """Its first bytes."""

    record: Record | None
    """Its object; None where it is no JSON object, too long, or not whole."""


def lines_of(path: Path) -> Iterator[Line]:
    """Yield the lines of a file, none without a file; a line without end takes no more memory than the limit."""
    most = input_limit("record_bytes")
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        start = 0
        for number in count(1):
            first = piece = file.readline(most + 1)
            if not first:
                return
            while not piece.endswith(b"\n") and (piece := file.readline(_COPIED_AT_ONCE)):
                pass
            end = file.tell()
            is_whole, is_too_long = piece.endswith(b"\n"), end - start > most
            record = _parsed(first) if is_whole and not is_too_long else None
            yield Line(number, start, end, is_whole, is_too_long, first[:100], record)
            start = end


def heal(path: Path, accepts: Accepts) -> list[Line]:
    """Return the sound lines of a file of a program's own, after moving the others to FILE.damaged with one warning.

    Damaged lines are on disk there before the file is replaced. What is no file that can be read and written (a folder,
    missing rights) is renamed as a whole. Without a file there are no lines.
    """
    set_aside_unusable(path)
    lines = list(lines_of(path))
    sound = [line for line in lines if line.record is not None and accepts(line.record)]
    if len(sound) == len(lines):
        return sound
    damaged = [line for line in lines if line.record is None or not accepts(line.record)]
    aside = path.with_name(f"{path.name}.damaged")
    if why_unusable(aside) is not None:
        aside = free_name(aside)
    _copy_lines(path, damaged, aside)
    healed = rewrite(path, sound)
    logger.warning(f"{_named(path, damaged)} of this file; moved to {aside}")
    return healed


def sound_records(path: Path, accepts: Accepts) -> list[Record]:
    """Return the records of a file that is only read; other lines are left out with one warning.

    A last line without its end is left out silently: a program may be writing it.
    """
    why = why_unusable(path, is_written=False)
    if why is not None:
        logger.warning(f"{path} {why}, so what it should hold is left out")
        return []
    lines = list(lines_of(path))
    sound = [line.record for line in lines if line.record is not None and accepts(line.record)]
    damaged = [line for line in lines if line.is_whole and (line.record is None or not accepts(line.record))]
    if damaged:
        logger.warning(f"{_named(path, damaged)} of this file and left out")
    return sound


def rewrite(path: Path, lines: Sequence[Line]) -> list[Line]:
    """Keep only those lines of a file, whole or not at all, and return them where they are now."""
    with atomic_file(path) as unfinished, path.open("rb") as source, unfinished.open("wb") as target:
        for line in lines:
            _copy(source, line, target)
    ends = [0]
    for line in lines:
        ends.append(ends[-1] + line.end - line.start)
    return [
        replace(line, number=number, start=start, end=end)
        for number, (line, (start, end)) in enumerate(zip(lines, pairwise(ends), strict=True), start=1)
    ]


def _parsed(line: bytes) -> Record | None:
    try:
        record = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError):  # no JSON, or no UTF-8
        return None
    return record if isinstance(record, dict) else None


def _copy_lines(path: Path, lines: Iterable[Line], target: Path) -> None:
    with errors_naming(target), path.open("rb") as source, target.open("ab") as file:
        for line in lines:
            _copy(source, line, file)
            if not line.is_whole:
                file.write(b"\n")
        file.flush()
        os.fsync(file.fileno())


def _copy(source: BinaryIO, line: Line, target: BinaryIO) -> None:
    source.seek(line.start)
    left = line.end - line.start
    while left > 0 and (piece := source.read(min(left, _COPIED_AT_ONCE))):
        target.write(piece)
        left -= len(piece)


def _named(path: Path, lines: Sequence[Line]) -> str:
    """Return file and line numbers as part of a sentence, such as "metrics.jsonl: lines 1 and 3 are no records"."""
    numbers = [f"{line.number:,}" for line in lines[:_MOST_NUMBERS_SHOWN]]
    more = len(lines) - len(numbers)
    if more:
        numbers.append(f"{more:,} more")
    *others, last = numbers
    listed = f"lines {', '.join(others)} and {last} are no records" if others else f"line {last} is no record"
    return f"{path}: {listed}"
