import os
import tracemalloc
from pathlib import Path

import pytest

from sycoca.json_lines import ResumableLines, read_records
from sycoca.outputs.record_lines import Record

A, B = b'{"step": 1}\n', b'{"step": 2}\n'


def has_step(record: Record) -> bool:
    return isinstance(record.get("step"), int)


def healed(path: Path) -> ResumableLines:
    return ResumableLines(path, resume=True, accepts=has_step)


@pytest.mark.parametrize(
    "foreign",
    [
        b"\0\0\0\n",
        b"\n",
        b"no json\n",
        b"[1]\n",
        b'{"other": 1}\n',
        b'{"step": "1"}\n',
        b"\xff\xfe\n",
        b'{"step":\n',
        b'{"step": ' + b"1" * 5000 + b"}\n",
        b"[" * 5000 + b"\n",
        b'{"step": 1, "long": "' + b"x" * 10_000 + b'"}\n',
    ],
)
@pytest.mark.parametrize("before", [b"", A])
def test_a_foreign_line_is_moved_and_named(
    foreign: bytes, before: bytes, tmp_path: Path, caplog, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SYCOCA_MAX_RECORD_BYTES", "8000")
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(before + foreign + B)
    lines = healed(path)
    assert [record["step"] for record in lines.records] == ([1, 2] if before else [2])
    assert path.read_bytes() == before + B
    assert (tmp_path / "metrics.jsonl.damaged").read_bytes() == foreign
    number = 2 if before else 1
    assert caplog.messages == [f"{path}: line {number} is no record of this file; moved to {path}.damaged"]
    lines.append({"step": 3})
    lines.keep_if(lambda record: record["step"] == 2)
    assert path.read_bytes() == B
    assert len(caplog.messages) == 1


@pytest.mark.parametrize("tail", [b"\0" * 5000, b'{"st', b'{"step": 3}', b"x"])
def test_a_torn_end_is_moved_too(tail: bytes, tmp_path: Path, caplog):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(A + tail)
    healed(path).append({"step": 2})
    assert path.read_bytes() == A + B
    assert (tmp_path / "metrics.jsonl.damaged").read_bytes() == tail + b"\n"
    assert "line 2 is no record of this file" in caplog.text


def test_line_numbers_are_bounded_and_damaged_lines_are_appended(tmp_path: Path, caplog):
    path = tmp_path / "metrics.jsonl"
    for round in (1, 2):
        path.write_bytes(b"bad\n" * 2000 + A + b"worse\n")
        assert len(healed(path)) == 1
        assert (tmp_path / "metrics.jsonl.damaged").read_bytes() == (b"bad\n" * 2000 + b"worse\n") * round
    assert "metrics.jsonl: lines 1, 2, 3, 4, 5 and 1,996 more are no records of this file" in caplog.messages[0]


def test_the_damaged_lines_are_kept_where_their_file_cannot_be_appended_to(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    (tmp_path / "metrics.jsonl.damaged").mkdir()
    path.write_bytes(b"bad\n" + A)
    assert len(healed(path)) == 1
    assert (tmp_path / "metrics.jsonl.damaged-2").read_bytes() == b"bad\n"


def test_damaged_lines_are_on_disk_before_the_file_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"bad\n" + A)

    def fail(*_: object) -> None:
        raise OSError("killed here")

    monkeypatch.setattr("sycoca.outputs.record_lines.atomic_file", fail)
    with pytest.raises(OSError, match="killed here"):
        healed(path)
    assert path.read_bytes() == b"bad\n" + A
    assert (tmp_path / "metrics.jsonl.damaged").read_bytes() == b"bad\n"


def a_folder(path: Path) -> None:
    path.mkdir()


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_link_to_itself(path: Path) -> None:
    path.symlink_to(path)


def a_link_to_nothing(path: Path) -> None:
    path.symlink_to(path.with_name("nothing"))


@pytest.mark.parametrize("damage", [a_folder, a_pipe, a_link_to_itself, a_link_to_nothing])
def test_what_is_no_file_is_renamed(damage, tmp_path: Path, caplog):
    path = tmp_path / "metrics.jsonl"
    damage(path)
    assert read_records(path) == []
    assert sorted(one.name for one in tmp_path.iterdir()) == ["metrics.jsonl"], "who only reads changes nothing"
    caplog.clear()
    healed(path).append({"step": 1})
    assert path.read_bytes() == A
    assert os.path.lexists(tmp_path / "metrics.jsonl.damaged")
    (message,) = caplog.messages
    assert message.startswith(str(path))
    assert message.endswith("it is now metrics.jsonl.damaged, and a new file is begun")


def test_a_file_that_cannot_be_read_is_renamed(tmp_path: Path, caplog, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(A)
    real = Path.open

    def refuse(self: Path, *arguments, **options):
        if self == path and path.exists():
            raise PermissionError(13, "Permission denied", str(path))
        return real(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", refuse)
    assert len(healed(path)) == 0
    assert "metrics.jsonl cannot be read: Permission denied; it is now metrics.jsonl.damaged" in caplog.text


def test_readers_leave_damaged_lines_out_and_change_nothing(tmp_path: Path, caplog):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(A + b"bad\n" + B + b'{"ste')
    assert read_records(path, has_step) == [{"step": 1}, {"step": 2}]
    assert caplog.messages == [f"{path}: line 2 is no record of this file and left out"]
    assert [one.name for one in tmp_path.iterdir()] == ["metrics.jsonl"]
    assert path.read_bytes() == A + b"bad\n" + B + b'{"ste'
    assert read_records(tmp_path / "none") == []
    path.write_bytes(A + b'{"ste')
    assert read_records(path) == [{"step": 1}]
    assert len(caplog.messages) == 1, "a program may be writing the last line"


def test_a_gigantic_line_takes_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SYCOCA_MAX_RECORD_BYTES", "100000")
    path = tmp_path / "metrics.jsonl"
    with path.open("wb") as file:
        file.write(A)
        file.seek(64 * 2**20)
        file.write(b"x")
    tracemalloc.start()
    try:
        assert len(healed(path)) == 1
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * 2**20
    assert path.read_bytes() == A
    assert (tmp_path / "metrics.jsonl.damaged").stat().st_size == 64 * 2**20 + 1 - len(A) + 1
