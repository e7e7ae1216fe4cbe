from pathlib import Path

import pytest

from sycoca.json_lines import ResumableLines, read_records, write_records
from sycoca.outputs.lease import Lease

FIRST = b'{"name": "a"}\n'
NAMES = ["a", "b", "\u00e9"]


@pytest.fixture
def whole(tmp_path: Path) -> bytes:
    lines = ResumableLines(tmp_path / "whole.jsonl", resume=False)
    for name in NAMES:
        lines.append({"name": name, "score": 0.5})
    return (tmp_path / "whole.jsonl").read_bytes()


def test_a_file_that_was_cut_anywhere_becomes_whole_again(whole: bytes, tmp_path: Path):
    path = tmp_path / "deep" / "cut.jsonl"
    path.parent.mkdir()
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        lines = ResumableLines(path, resume=True)
        assert len(lines) == whole[:size].count(b"\n") == len(read_records(path))
        lines.append(*({"name": name, "score": 0.5} for name in NAMES[len(lines) :]))
        assert path.read_bytes() == whole
        assert [record["name"] for record in read_records(path)] == NAMES


def test_the_first_record_replaces_an_old_file(tmp_path: Path):
    path = tmp_path / "lines.jsonl"
    ResumableLines(path, resume=False).append({"name": "a"}, {"name": "b"})
    lines = ResumableLines(path, resume=False)
    lines.keep(0)
    assert (lines.records, read_records(path)) == ([], [{"name": "a"}, {"name": "b"}])
    for name in ("c", "d"):
        lines.append({"name": name})
    assert read_records(path) == [{"name": "c"}, {"name": "d"}]
    assert lines.records == [], "those that are appended are not kept"


def test_nothing_is_appended_to_a_file_that_another_process_has_taken_over(tmp_path: Path):
    path = tmp_path / "lines.jsonl"
    with Lease(tmp_path / "lease", path) as lease:
        lines = ResumableLines(path, resume=False, lease=lease)
        lines.append({"name": "a"})
        lease._is_lost = True
        with pytest.raises(OSError, match="was taken over by another process"):
            lines.append({"name": "b"})
    assert read_records(path) == [{"name": "a"}]


def test_the_file_appears_with_its_first_record(tmp_path: Path):
    lines = ResumableLines(tmp_path / "deep" / "lines.jsonl", resume=True)
    lines.keep(0)
    assert not lines.path.parent.exists()
    lines.append({"name": "a"})
    assert read_records(lines.path) == [{"name": "a"}]


def test_the_last_records_can_be_dropped(tmp_path: Path):
    path = tmp_path / "lines.jsonl"
    write_records(path, [{"name": name} for name in NAMES])
    lines = ResumableLines(path, resume=True)
    lines.keep(1)
    assert lines.records == read_records(lines.path) == [{"name": "a"}]


def test_records_must_be_those_that_are_expected(tmp_path: Path):
    path = tmp_path / "lines.jsonl"
    write_records(path, [{"name": "a", "score": 1}, {"name": "b", "score": 2}])
    lines = ResumableLines(path, resume=True)
    lines.check([{"name": "a"}, {"name": "b"}, {"name": "c"}])
    with pytest.raises(ValueError, match=r"line 2 is not about name 'c'; it was written for other data"):
        lines.check([{"name": "a"}, {"name": "c"}])
    with pytest.raises(ValueError, match="has 2 lines, but there are only 1 to write"):
        lines.check([{"name": "a"}])


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        (b"[]\n", "is not a JSON object, so the file was not written by sycoca"),
        (b"no json\n", "is not a JSON object"),
        (b"\xff\n", "is not a JSON object"),
        (b"\xff\xd8 a photo", "is not a JSON object"),
        (b"a text without a newline", "is not a JSON object"),
        (b'{"name": \0\0\n{"name": "c"}\n', "holds NUL bytes, as after a power failure"),
        (
            b'{"name": "' + b"b" * 100 + b'"}\n',
            "is too long: the limit is 90 bytes of a line of a file .*; SYCOCA_MAX_RECORD_BYTES sets",
        ),
        (b"[" * 99, "is too long"),
    ],
)
def test_other_files_that_somebody_named_are_refused_and_stay(
    rest: bytes, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SYCOCA_MAX_RECORD_BYTES", "90")
    path = tmp_path / "lines.jsonl"
    path.write_bytes(FIRST + rest)
    with pytest.raises(ValueError, match=rf"lines\.jsonl, line 2 {said}"):
        ResumableLines(path, resume=True)
    assert path.read_bytes() == FIRST + rest


@pytest.mark.parametrize("tail", [b"\0" * 5000, b'{"na', b'{"na\0\0\0', b'{"name": "\xc3'])
def test_what_a_power_failure_leaves_is_cut_once_the_file_is_known_to_be_ours(tail: bytes, tmp_path: Path):
    path = tmp_path / "lines.jsonl"
    path.write_bytes(FIRST + tail)
    lines = ResumableLines(path, resume=True)
    with pytest.raises(ValueError, match="written for other data"):
        lines.check([{"name": "other"}])
    assert path.read_bytes() == FIRST + tail
    lines.check([{"name": "a"}])
    assert path.read_bytes() == FIRST
    lines.append({"name": "b"})
    assert read_records(path) == [{"name": "a"}, {"name": "b"}]
    path.write_bytes(FIRST + tail)
    ResumableLines(path, resume=True).append({"name": "b"})
    assert read_records(path) == [{"name": "a"}, {"name": "b"}]


def test_records_in_the_middle_can_be_dropped(tmp_path: Path):
    path = tmp_path / "lines.jsonl"
    write_records(path, [{"name": name} for name in NAMES])
    lines = ResumableLines(path, resume=True)
    lines.keep_if(lambda record: record["name"] != "a")
    lines.append({"name": "d"})
    assert read_records(path) == [{"name": "b"}, {"name": "\u00e9"}, {"name": "d"}]


def test_a_file_is_written_at_once(tmp_path: Path):
    write_records(tmp_path / "deep" / "lines.jsonl", [{"name": name} for name in NAMES])
    assert [record["name"] for record in read_records(tmp_path / "deep" / "lines.jsonl")] == NAMES
    assert read_records(tmp_path / "none.jsonl") == []
