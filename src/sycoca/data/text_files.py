"""Text and JSON files, compressed or not; every failure is a ValueError of one line that names the file."""

import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

_MARKS_OF_OTHER_ENCODINGS = (b"\xff\xfe", b"\xfe\xff")


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
    """Yield the lines of a file without the byte order mark of UTF-8."""
    with opened(path) as file:
        for number, line in enumerate(file):
            if number == 0:
                if line.startswith(_MARKS_OF_OTHER_ENCODINGS):
                    raise ValueError(f"{path} is UTF-16; save it as UTF-8")
                line = line.removeprefix(b"\xef\xbb\xbf")
            yield line


def read_any_json(path: Path) -> Any:
    """Return the content of a JSON file. Raises ValueError where it is not JSON."""
    with opened(path) as file:
        text = file.read()
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
