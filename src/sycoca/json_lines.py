"""JSON Lines files: one object a line. One class writes those that an interrupted program resumes."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, final

from sycoca.outputs.atomic import errors_naming
from sycoca.outputs.lease import Lease
from sycoca.plain_data import write_text

Record = dict[str, Any]


@final
class ResumableLines:
    """A JSON Lines file that grows while a program runs and that an interrupted program resumes.

    A record is on disk as soon as it is appended. A killed program can only leave a last line without its end, which is
    cut off when the file is opened again.
    """

    def __init__(self, path: Path, *, resume: bool, lease: Lease | None = None) -> None:
        """Read what an interrupted program has written; the file appears with the first record.

        Without ``resume`` the first record replaces a file that is there. With a ``lease`` nothing is appended once
        another process has taken it over. Raises ValueError where a line is no JSON object, with its number.
        """
        self.path = path
        self._lease = lease
        self._replaces = not resume
        self._lines, is_cut = _whole_lines(path) if resume else ([], False)
        self.records: list[Record] = _parsed(self._lines, path)
        """What an interrupted program has written; appended records are not kept, which are many in a long run."""
        if is_cut:
            self.keep(len(self._lines))

    def __len__(self) -> int:
        return len(self.records)

    def keep(self, count: int) -> None:
        """Keep the first ``count`` records and drop the others, from the file too."""
        del self._lines[count:], self.records[count:]
        if self.path.exists() and not self._replaces:
            os.truncate(self.path, sum(len(line) + 1 for line in self._lines))

    def append(self, *records: Mapping[str, Any]) -> None:
        """Write records at once. Raises LeaseLostError where another process writes the file now."""
        if self._lease is not None:
            self._lease.check()
        lines = b"".join(_line(record) + b"\n" for record in records)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with errors_naming(self.path), self.path.open("wb" if self._replaces else "ab") as file:
            file.write(lines)
        self._replaces = False

    def check(self, expected: Sequence[Mapping[str, object]]) -> None:
        """Raise ValueError unless the records are the first of those that are ``expected``, in the same order.

        What is expected of a record are the values by which it is recognized, such as the image that it is about.
        """
        if len(self) > len(expected):
            raise ValueError(
                f"{self.path} has {len(self):,} lines, but there are only {len(expected):,} to write; it was written"
                " for other data"
            )
        for number, (record, own) in enumerate(zip(self.records, expected, strict=False), start=1):
            if any(record.get(name) != value for name, value in own.items()):
                about = ", ".join(f"{name} {value!r}" for name, value in own.items())
                raise ValueError(f"{self.path}, line {number} is not about {about}; it was written for other data")


def read_records(path: Path) -> list[Record]:
    """Return the objects of a JSON Lines file, without a last line that a killed program has cut; none without a file.

    Raises ValueError where a line is no JSON object, with its number.
    """
    return _parsed(_whole_lines(path)[0], path)


def write_records(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Write a JSON Lines file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, "".join(_line(record).decode() + "\n" for record in records))


def _line(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode()


def _whole_lines(path: Path) -> tuple[list[bytes], bool]:
    """Return the lines that have an end, and whether another one follows."""
    if not path.exists():
        return [], False
    # As bytes: a cut line may end within a character.
    *lines, cut = path.read_bytes().split(b"\n")
    return lines, bool(cut)


def _parsed(lines: Sequence[bytes], path: Path) -> list[Record]:
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
        except ValueError:  # no JSON, or no UTF-8
            record = None
        if not isinstance(record, dict):
            raise ValueError(f"{path}, line {number} is not a JSON object, so the file was not written by sycoca")
        records.append(record)
    return records
