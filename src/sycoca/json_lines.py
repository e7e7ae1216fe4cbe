"""JSON Lines files: one object a line. One class writes those that an interrupted program resumes."""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, final

from sycoca.facts.input_limits import stated_limit
from sycoca.outputs.atomic import errors_naming
from sycoca.outputs.lease import Lease
from sycoca.outputs.record_lines import Accepts, Line, Record, heal, lines_of, rewrite, sound_records
from sycoca.plain_data import write_text


@final
class ResumableLines:
    """A JSON Lines file that grows while a program runs and that an interrupted program resumes.

    A record is on disk as soon as it is appended. A killed program can only leave a last line without its end.
    """

    def __init__(
        self,
        path: Path,
        *,
        resume: bool,
        accepts: Accepts | None = None,
        lease: Lease | None = None,
        begin: Callable[[], None] | None = None,
    ) -> None:
        """Read what an interrupted program has written; the file appears with the first record.

        Without ``resume`` the first record replaces a file that is there.

        ``accepts`` is for a program's own files, which nobody asked for and which must not stop it: lines that are no
        objects, or none that it accepts, are moved to FILE.damaged with a warning (`heal`). Without it the file is one
        that somebody named: a line that is no object means that it is something else, which raises ValueError with the
        line's number. There, a last line without its end, or NUL bytes that a power failure has left in its place, are
        cut off once the records are kept, checked or appended to.

        With a ``lease`` nothing is appended once another process has taken the file over. ``begin`` is called right
        before the first record of a file is written.
        """
        self.path = path
        self._lease = lease
        self._begin = begin
        self._replaces = not resume
        self.records: list[Record] = []
        """What an interrupted program has written; appended records are not kept, which are many in a long run."""
        self._lines: list[Line] = []
        self._end: int | None = None
        """Where the file is cut before anything is appended; None where that is done."""
        if resume:
            self._take(_own_lines(path) if accepts is None else heal(path, accepts))

    def __len__(self) -> int:
        return len(self.records)

    def keep(self, count: int) -> None:
        """Keep the first ``count`` records and drop the others, from the file too."""
        self._take(self._lines[:count])
        self._cut()

    def keep_if(self, is_kept: Callable[[Record], bool]) -> None:
        """Drop the other records, from the file too."""
        kept = [line for line, record in zip(self._lines, self.records, strict=True) if is_kept(record)]
        if kept != self._lines[: len(kept)]:
            kept = rewrite(self.path, kept)
        self._take(kept)
        self._cut()

    def append(self, *records: Mapping[str, Any]) -> None:
        """Write records at once. Raises LeaseLostError where another process writes the file now."""
        if self._lease is not None:
            self._lease.check()
        self._cut()
        lines = b"".join(_line(record) + b"\n" for record in records)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self._begin is not None and not self._lines:
            self._begin()
        self._begin = None
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
        self._cut()

    def _take(self, lines: list[Line]) -> None:
        self._lines = lines
        self._end = lines[-1].end if lines else 0
        self.records = [line.record for line in lines if line.record is not None]

    def _cut(self) -> None:
        """Cut the file behind the last record that is kept."""
        end, self._end = self._end, None
        if end is not None and not self._replaces and self.path.exists() and self.path.stat().st_size > end:
            os.truncate(self.path, end)


def read_records(path: Path, accepts: Accepts = lambda _: True) -> list[Record]:
    """Return the records of a program's own file that is only read; none without a file.

    Lines that are no objects, or none that are accepted, are left out with a warning; a last line without its end
    silently, since a program may be writing it.
    """
    return sound_records(path, accepts)


def write_records(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Write a JSON Lines file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, "".join(_line(record).decode() + "\n" for record in records))


def _line(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode()


def _own_lines(path: Path) -> list[Line]:
    """Return the lines of a file that somebody named, without a torn last one; ValueError where it is another file."""
    lines = list(lines_of(path))
    if lines and _is_torn(lines[-1]):
        del lines[-1]
    for line in lines:
        if line.record is None:
            raise ValueError(f"{path}, line {line.number} {_foreign(line)}")
    return lines


def _is_torn(line: Line) -> bool:
    """Return whether a line is the beginning of a record: what an unrelated file ends with is not cut."""
    begin = line.begin.rstrip(b"\0")
    return not line.is_whole and not line.is_too_long and (not begin or begin.startswith(b"{"))


def _foreign(line: Line) -> str:
    if line.is_too_long:
        return f"is too long: {stated_limit('record_bytes')}"
    if b"\0" in line.begin:
        return "holds NUL bytes, as after a power failure; delete the lines from there on, and resume again"
    return "is not a JSON object, so the file was not written by sycoca"
