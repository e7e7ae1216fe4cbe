"""Text and JSON files, compressed or not; every failure is a ValueError of one line that names the file."""

import gzip
import json
import zlib
from codecs import BOM_UTF8
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path
from typing import Any, BinaryIO, cast

from sycoca.facts.input_limits import InputLimitError, input_limit, stated_limit
from sycoca.file_names import has_suffix
from sycoca.texts import decoded, shortened, without_mark

_PIECE = 2**20
_EMPTY = (b"\n", b"\r\n", b"\r")
_UNPACKED_FREELY = 8 * 2**20
"""Bytes that any compressed file may unpack to."""


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file, decompressing ``.gz``. Raises ValueError where it cannot be read, also while reading."""
    try:
        with gzip.open(path) if has_suffix(path, ".gz") else path.open("rb") as file:
            yield cast(BinaryIO, file)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is no complete gzip file: {error}") from error
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from error


def read_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file with their ends, without the byte order mark of UTF-8.

    A line ends with LF, CR LF, or CR alone, as in files of old Macs.
    """
    most, number, rest = input_limit("line_bytes"), 0, b""
    num_empty, most_empty = 0, input_limit("unusable_rows")
    with opened(path) as file:
        ratio = _RatioCheck(path)
        while read := file.readline(most + 1):
            ratio.add(len(read))
            lines = (rest + read).splitlines(keepends=True)
            # A CR at the end may be the first byte of a CR LF.
            rest = b"" if read.endswith(b"\n") else lines.pop()
            for offset, line in enumerate([*lines, rest], start=1):
                if len(line) > most + len(b"\r\n"):
                    at = f"{path}, line {number + offset}"
                    raise InputLimitError(f"{at} is too long: {stated_limit('line_bytes')}")
            for line in lines:
                number += 1
                num_empty += line in _EMPTY
                if num_empty > most_empty:
                    at = f"{path}, line {number}"
                    raise InputLimitError(f"{at} is empty: {stated_limit('unusable_rows')}")
                yield without_mark(line, path) if number == 1 else line
    if rest:
        yield without_mark(rest, path) if number == 0 else rest


class _RatioCheck:
    """Counts what a compressed file unpacks to; a file of repetitions is refused before it fills the memory."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._num_bytes = 0
        packed = path.stat().st_size if has_suffix(path, ".gz") else None
        most = None if packed is None else max(_UNPACKED_FREELY, packed * input_limit("unpacked_ratio"))
        self._most = most

    def add(self, num_bytes: int) -> None:
        self._num_bytes += num_bytes
        if self._most is not None and self._num_bytes > self._most:
            raise InputLimitError(
                f"{self._path} unpacks to more than {self._most:,} bytes; {stated_limit('unpacked_ratio')}"
            )


def read_text_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a file as text, with their ends; ValueError names the first line that is not UTF-8."""
    for number, line in enumerate(read_lines(path), start=1):
        yield decoded(line, path, number)


def begins_with_list(path: Path) -> bool:
    """Return whether the first thing in a file is a list of JSON, and so no line of {"name": value}."""
    with opened(path) as file:
        return file.read(_PIECE).removeprefix(BOM_UTF8).lstrip()[:1] == b"["


def read_any_json(path: Path) -> Any:
    """Return the content of a JSON file. Raises ValueError where it is not JSON."""
    return parsed_json(read_json_text(path), path)


def read_json_text(path: Path) -> str:
    """Return the text of a JSON file, which may also be UTF-16 or UTF-32. Raises ValueError where it cannot be read."""
    with opened(path) as file:
        data = _all_bytes(cast(BufferedIOBase, file), path)
    encoding = json.detect_encoding(data)
    if encoding.startswith("utf-8"):
        return decoded(without_mark(data, path), path)
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no JSON file: {error}") from error


def _all_bytes(file: BufferedIOBase, path: Path) -> bytes:
    most, ratio, pieces, total = input_limit("json_bytes"), _RatioCheck(path), [], 0
    while piece := file.read(_PIECE):
        ratio.add(len(piece))
        total += len(piece)
        if total > most:
            raise InputLimitError(f"{path} is too large: {stated_limit('json_bytes')}")
        pieces.append(piece)
    return b"".join(pieces)


def parsed_json(text: str, path: Path) -> Any:
    """Return what the text of a JSON file says; ValueError where it is none."""
    try:
        return json.loads(text)
    # Deeply nested brackets exhaust the stack.
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no JSON file: {error}") from error


def read_json(path: Path) -> dict[str, Any]:
    """Return the object of a JSON file. Raises ValueError for other content."""
    data = read_any_json(path)
    if not isinstance(data, dict):
        raise ValueError(f"{path} must hold a JSON object, got {type(data).__name__}")
    return data


def read_list(data: dict[str, Any], name: str, path: Path) -> list[Any]:
    """Return one list of a JSON file. Raises ValueError with the existing keys where it is missing."""
    if not isinstance(data.get(name), list):
        has = shortened(" ".join(", ".join(sorted(map(str, data))[:12]).split()))
        raise ValueError(f'{path} has no list "{name}" (it has {has or "nothing"})')
    return data[name]
