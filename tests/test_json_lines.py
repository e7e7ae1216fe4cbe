from pathlib import Path

import pytest

from sycoca.json_lines import ResumableLines, read_records, write_records
from sycoca.outputs.lease import Lease

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


@pytest.mark.parametrize("line", [b"[]", b"no json", b"\xff"])
def test_other_files_are_refused(line: bytes, tmp_path: Path):
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'{"name": "a"}\n' + line + b"\n")
    with pytest.raises(ValueError, match=r"lines\.jsonl, line 2 is not a JSON object"):
        ResumableLines(path, resume=True)


def test_a_file_is_written_at_once(tmp_path: Path):
    write_records(tmp_path / "deep" / "lines.jsonl", [{"name": name} for name in NAMES])
    assert [record["name"] for record in read_records(tmp_path / "deep" / "lines.jsonl")] == NAMES
    assert read_records(tmp_path / "none.jsonl") == []
