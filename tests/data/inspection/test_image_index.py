import logging
import multiprocessing
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from sycoca.data.inspection.image_facts import ImageFacts
from sycoca.data.inspection.image_index import ImageIndex, default_index_path
from sycoca.data.inspection.photo_measures import PhotoMeasures
from sycoca.unusable import SkippedSample, SkipReason

FACTS = ImageFacts(
    width=4,
    height=3,
    is_gray=True,
    pixel_hash=b"\0" * 16,
    perceptual_hash=2**64 - 1,
    colors=bytes(range(48)),
    measures=PhotoMeasures(sharpness=1.5, dark_level=200, bright_level=30, information=4.25),
)
FILE = ("/photos/a.jpg", 100, 7)


def problem(reason: SkipReason = "broken image") -> SkippedSample:
    return SkippedSample(name="a.jpg", reason=reason, detail="a.jpg cannot be read as an image: \udce4")


_SAID: list[str] = []


@pytest.fixture(autouse=True)
def _warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("sycoca.data.inspection.image_index"), "warning", _SAID.append)


def opened(path: Path | None) -> tuple[ImageIndex, list[str]]:
    """Return the index, and the warnings from then on."""
    _SAID.clear()
    return ImageIndex(path), _SAID


def test_remembers_facts_and_problems(tmp_path):
    path = tmp_path / "deep" / "images.sqlite"
    index, said = opened(path)
    broken = ("/photos/\udce4.jpg", 5, -1)
    index.keep({FILE: FACTS, broken: problem()})
    index.close()
    again, _ = opened(path)
    assert again.known([FILE, broken, ("/photos/c.jpg", 1, 1)]) == {FILE: FACTS, broken: problem()}
    again.close()
    assert said == []


def test_a_file_that_has_changed_is_unknown_until_looked_at_again(tmp_path):
    index, _ = opened(tmp_path / "i.sqlite")
    index.keep({FILE: FACTS})
    for changed in (("/photos/a.jpg", 101, 7), ("/photos/a.jpg", 100, 8), ("/photos/A.jpg", 100, 7)):
        assert index.known([changed]) == {}
    newer = ("/photos/a.jpg", 101, 8)
    index.keep({newer: problem()})
    assert index.known([FILE, newer]) == {newer: problem()}
    index.close()


def test_another_decoder_may_see_other_pixels(tmp_path, monkeypatch):
    index, _ = opened(tmp_path / "i.sqlite")
    index.keep({FILE: FACTS})
    monkeypatch.setattr("sycoca.data.inspection.image_index._LOOKED_AT_BY", "1, PIL 0.1")
    assert index.known([FILE]) == {}
    index.close()


@pytest.mark.parametrize("reason", ["unreadable file", "missing image", "image too large", "file too large"])
def test_what_may_pass_is_not_kept(tmp_path, reason):
    index, _ = opened(tmp_path / "i.sqlite")
    index.keep({FILE: problem(reason)})
    assert index.known([FILE]) == {}
    index.close()


def test_asks_for_more_files_than_the_database_takes_at_once(tmp_path):
    index, _ = opened(tmp_path / "i.sqlite")
    files = [(f"/photos/{number}.jpg", number, 0) for number in range(1201)]
    index.keep(dict.fromkeys(files, FACTS))
    assert set(index.known(files)) == set(files)
    index.close()


def test_an_error_closes_the_file(tmp_path):
    index, _ = opened(tmp_path / "i.sqlite")
    assert index._database is not None
    with pytest.raises(KeyError), index:
        raise KeyError
    assert index._database is None


def test_without_a_path_nothing_is_kept():
    index, said = opened(None)
    index.keep({FILE: FACTS})
    assert index.known([FILE]) == {}
    index.close()
    assert said == []


def test_a_damaged_file_is_rebuilt(tmp_path):
    path = tmp_path / "i.sqlite"
    path.write_bytes(b"no database" * 1000)
    index, said = opened(path)
    assert said == [f"image index {path} is damaged (file is not a database); it is rebuilt"]
    index.keep({FILE: FACTS})
    index.close()
    again, said = opened(path)
    assert again.known([FILE]) == {FILE: FACTS}
    assert said == []
    again.close()


def test_damage_that_shows_later_is_mended_as_well(tmp_path):
    path = tmp_path / "i.sqlite"
    index, said = opened(path)
    files = [(f"/photos/{number}.jpg", number, 0) for number in range(2000)]
    index.keep(dict.fromkeys(files, FACTS))
    index.close()
    data = path.read_bytes()
    path.write_bytes(data[:8192] + b"\xff" * (len(data) - 8192))
    index, said = opened(path)
    assert index.known(files) == {}
    assert "is damaged" in said[0]
    index.keep({FILE: FACTS})
    assert index.known([FILE]) == {FILE: FACTS}
    assert len(said) == 1
    index.close()


def test_a_folder_that_cannot_be_written_is_said_and_done_without(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    path = tmp_path / "file" / "i.sqlite"
    index, said = opened(path)
    index.keep({FILE: FACTS})
    assert index.known([FILE]) == {}
    assert len(said) == 1
    assert said[0].startswith(f"image index {path}: ")
    assert said[0].endswith("; continuing without it (--index PATH names another)")


def test_a_newer_file_is_left_alone(tmp_path):
    path = tmp_path / "i.sqlite"
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 9")
    database.close()
    before = path.read_bytes()
    index, said = opened(path)
    index.keep({FILE: FACTS})
    assert said == [
        f"image index {path}: it has version 9, this SyCoCa knows 2; continuing without it (--index PATH names another)"
    ]
    assert path.read_bytes() == before


def test_a_file_of_the_version_before_is_made_new(tmp_path):
    path = tmp_path / "i.sqlite"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE images (file BLOB PRIMARY KEY, bytes INTEGER) WITHOUT ROWID")
        database.execute("PRAGMA user_version = 1")
    database.close()
    index, said = opened(path)
    blank = replace(FACTS, measures=replace(FACTS.measures, sharpness=None))
    index.keep({FILE: blank})
    assert index.known([FILE]) == {FILE: blank}
    index.close()
    assert said == []


def test_a_locked_file_is_done_without(tmp_path, monkeypatch):
    monkeypatch.setattr("sycoca.data.inspection.image_index._SECONDS_TO_WAIT", 0.05)
    path = tmp_path / "i.sqlite"
    index, said = opened(path)
    other = sqlite3.connect(path)
    other.execute("BEGIN EXCLUSIVE")
    index.keep({FILE: FACTS})
    index.keep({FILE: FACTS})
    other.close()
    assert said == [f"image index {path}: database is locked; continuing without it (--index PATH names another)"]


def _fill(path: Path, start: int) -> None:
    index, said = opened(path)
    for number in range(start, start + 40):
        index.keep({(f"/photos/{number}.jpg", number, 0): FACTS})
        index.known([(f"/photos/{number // 2}.jpg", number // 2, 0)])
    index.close()
    assert said == []


def test_two_processes_may_write_at_once(tmp_path):
    path = tmp_path / "i.sqlite"
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_fill, args=(path, start)) for start in (0, 20)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    index, _ = opened(path)
    assert len(index.known([(f"/photos/{number}.jpg", number, 0) for number in range(60)])) == 60
    index.close()


def test_lies_in_the_folder_for_caches(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_index_path() == tmp_path / "sycoca" / "images.sqlite"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_index_path() == tmp_path / ".cache" / "sycoca" / "images.sqlite"
    monkeypatch.setattr("sys.platform", "darwin")
    assert default_index_path() == tmp_path / "Library" / "Caches" / "sycoca" / "images.sqlite"
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert default_index_path() == tmp_path / "local" / "sycoca" / "images.sqlite"
