"""Text and JSON files, compressed or not; every failure is a ValueError of one line that names the file."""

import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from sycoca.texts import decoded, without_mark


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file, decompressing ``.gz``. Raises ValueError where it cannot be read, also while reading."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield cast(BinaryIO, file)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is no complete gzip file: {error}") from error
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from error


def read_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file with their ends, without the byte order mark of UTF-8.

    A line ends with LF, CR LF, or CR alone, as in files of old Macs.
    """
    with opened(path) as file:
        for number, line in enumerate(file):
            # Without a CR in it this returns the line itself.
            yield from (without_mark(line, path) if number == 0 else line).splitlines(keepends=True)


def read_text_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a file as text, with their ends; ValueError names the first line that is not UTF-8."""
    for number, line in enumerate(read_lines(path), start=1):
        yield decoded(line, path, number)


def read_any_json(path: Path) -> Any:
    """Return the content of a JSON file. Raises ValueError where it is not JSON."""
    return parsed_json(read_json_text(path), path)


def read_json_text(path: Path) -> str:
    """Return the text of a JSON file, which may also be UTF-16 or UTF-32. Raises ValueError where it cannot be read."""
    with opened(path) as file:
        data = file.read()
    encoding = json.detect_encoding(data)
    if encoding.startswith("utf-8"):
        return decoded(without_mark(data, path), path)
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no JSON file: {error}") from error


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
        raise ValueError(f'{path} has no list "{name}" (it has {", ".join(sorted(map(str, data))[:12]) or "nothing"})')
    return data[name]
