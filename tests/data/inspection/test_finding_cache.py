import logging
import multiprocessing
import re
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from sycoca.data.inspection.finding_cache import _APPLICATION_ID, _SCHEMA, FindingCache, default_cache_path
from sycoca.data.inspection.image_facts import ImageFacts
from sycoca.data.inspection.photo_measures import PhotoMeasures
from sycoca.outputs.errors import OutputError
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
    monkeypatch.setattr(logging.getLogger("sycoca.data.inspection.finding_cache"), "warning", _SAID.append)


def opened(path: Path | None) -> tuple[FindingCache, list[str]]:
    """Return the cache, and the warnings from then on."""
    _SAID.clear()
    return FindingCache(path), _SAID


def test_remembers_facts_and_problems(tmp_path):
    path = tmp_path / "deep" / "images.sqlite"
    cache, said = opened(path)
    broken = ("/photos/\udce4.jpg", 5, -1)
    cache.keep({FILE: FACTS, broken: problem()})
    cache.close()
    again, _ = opened(path)
    assert again.known([FILE, broken, ("/photos/c.jpg", 1, 1)]) == {FILE: FACTS, broken: problem()}
    again.close()
    assert said == []


def test_a_file_that_has_changed_is_unknown_until_looked_at_again(tmp_path):
    cache, _ = opened(tmp_path / "i.sqlite")
    cache.keep({FILE: FACTS})
    for changed in (("/photos/a.jpg", 101, 7), ("/photos/a.jpg", 100, 8), ("/photos/A.jpg", 100, 7)):
        assert cache.known([changed]) == {}
    newer = ("/photos/a.jpg", 101, 8)
    cache.keep({newer: problem()})
    assert cache.known([FILE, newer]) == {newer: problem()}
    cache.close()


def test_another_decoder_may_see_other_pixels(tmp_path, monkeypatch):
    cache, _ = opened(tmp_path / "i.sqlite")
    cache.keep({FILE: FACTS})
    monkeypatch.setattr("sycoca.data.inspection.finding_cache._LOOKED_AT_BY", "1, PIL 0.1")
    assert cache.known([FILE]) == {}
    cache.close()


@pytest.mark.parametrize("reason", ["unreadable file", "missing image", "image too large", "file too large"])
def test_what_may_pass_is_not_kept(tmp_path, reason):
    cache, _ = opened(tmp_path / "i.sqlite")
    cache.keep({FILE: problem(reason)})
    assert cache.known([FILE]) == {}
    cache.close()


def test_asks_for_more_files_than_the_database_takes_at_once(tmp_path):
    cache, _ = opened(tmp_path / "i.sqlite")
    files = [(f"/photos/{number}.jpg", number, 0) for number in range(1201)]
    cache.keep(dict.fromkeys(files, FACTS))
    assert set(cache.known(files)) == set(files)
    cache.close()


def test_an_error_closes_the_file(tmp_path):
    cache, _ = opened(tmp_path / "i.sqlite")
    assert cache._database is not None
    with pytest.raises(KeyError), cache:
        raise KeyError
    assert cache._database is None


def test_without_a_path_nothing_is_kept():
    cache, said = opened(None)
    cache.keep({FILE: FACTS})
    assert cache.known([FILE]) == {}
    cache.close()
    assert said == []


def test_a_damaged_file_is_rebuilt(tmp_path):
    path = tmp_path / "i.sqlite"
    cache, said = opened(path)
    cache.close()
    path.write_bytes(path.read_bytes()[:72] + b"no pages" * 1000)
    cache, said = opened(path)
    assert said == [f"image cache {path} is damaged (database disk image is malformed); it is rebuilt"]
    cache.keep({FILE: FACTS})
    cache.close()
    again, said = opened(path)
    assert again.known([FILE]) == {FILE: FACTS}
    assert said == []
    again.close()


def test_in_the_folder_for_caches_any_damage_is_mended(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    default_cache_path().parent.mkdir()
    default_cache_path().write_bytes(b"no database" * 1000)
    cache, said = opened(default_cache_path())
    assert "it is rebuilt" in said[0]
    cache.keep({FILE: FACTS})
    assert cache.known([FILE]) == {FILE: FACTS}
    cache.close()


FOREIGN_TABLES = {
    "another table": ["CREATE TABLE Images (id INTEGER, path TEXT)", "INSERT INTO Images VALUES (1, 'a')"],
    "one table more": [_SCHEMA, "CREATE TABLE notes (line TEXT)"],
    "another program": [_SCHEMA, "PRAGMA application_id = 7"],
}


@pytest.mark.parametrize("name", ["text", "short", *FOREIGN_TABLES])
def test_a_file_that_is_something_else_is_refused_and_kept(tmp_path, name):
    path = tmp_path / "notes.md"
    if name in FOREIGN_TABLES:
        with sqlite3.connect(path) as database:
            for line in FOREIGN_TABLES[name]:
                database.execute(line)
        database.close()
    else:
        path.write_bytes(b"my notes\n" * (1 if name == "short" else 1000))
    before = path.read_bytes()
    with pytest.raises(OutputError, match=r"notes\.md is no image cache of sycoca and is left as it is; name another"):
        FindingCache(path)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["notes.md"]


def test_what_has_taken_the_place_of_the_file_is_not_deleted(tmp_path):
    path = tmp_path / "i.sqlite"
    cache, said = opened(path)
    cache.keep({FILE: FACTS})
    path.write_bytes(b"my notes\n" * 1000)
    assert cache.known([FILE]) == {}
    assert said == [f"image cache {path}: file is not a database; continuing without it (--cache FILE names another)"]
    assert path.read_bytes() == b"my notes\n" * 1000


def test_damage_that_shows_later_is_mended_as_well(tmp_path):
    path = tmp_path / "i.sqlite"
    cache, said = opened(path)
    files = [(f"/photos/{number}.jpg", number, 0) for number in range(2000)]
    cache.keep(dict.fromkeys(files, FACTS))
    cache.close()
    data = path.read_bytes()
    path.write_bytes(data[:8192] + b"\xff" * (len(data) - 8192))
    cache, said = opened(path)
    assert cache.known(files) == {}
    assert "is damaged" in said[0]
    cache.keep({FILE: FACTS})
    assert cache.known([FILE]) == {FILE: FACTS}
    assert len(said) == 1
    cache.close()


def test_a_folder_that_cannot_be_written_is_said_and_done_without(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    path = tmp_path / "file" / "i.sqlite"
    cache, said = opened(path)
    cache.keep({FILE: FACTS})
    assert cache.known([FILE]) == {}
    assert len(said) == 1
    assert said[0].startswith(f"image cache {path}: ")
    assert said[0].endswith("; continuing without it (--cache FILE names another)")


def test_a_newer_file_is_left_alone(tmp_path):
    path = tmp_path / "i.sqlite"
    with sqlite3.connect(path) as database:
        database.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        database.execute("PRAGMA user_version = 9")
    database.close()
    before = path.read_bytes()
    cache, said = opened(path)
    cache.keep({FILE: FACTS})
    assert said == [
        f"image cache {path}: it has version 9, this SyCoCa knows 2; continuing without it (--cache FILE names another)"
    ]
    assert path.read_bytes() == before


def test_a_file_of_the_version_before_is_made_new(tmp_path):
    path = tmp_path / "i.sqlite"
    with sqlite3.connect(path) as database:
        database.execute(re.sub("sharpness.*\n", "\n", _SCHEMA))
        database.execute("PRAGMA user_version = 1")
    database.close()
    cache, said = opened(path)
    blank = replace(FACTS, measures=replace(FACTS.measures, sharpness=None))
    cache.keep({FILE: blank})
    assert cache.known([FILE]) == {FILE: blank}
    cache.close()
    assert said == []


def test_a_locked_file_is_done_without(tmp_path, monkeypatch):
    monkeypatch.setattr("sycoca.data.inspection.finding_cache._SECONDS_TO_WAIT", 0.05)
    path = tmp_path / "i.sqlite"
    cache, said = opened(path)
    other = sqlite3.connect(path)
    other.execute("BEGIN EXCLUSIVE")
    cache.keep({FILE: FACTS})
    cache.keep({FILE: FACTS})
    other.close()
    assert said == [f"image cache {path}: database is locked; continuing without it (--cache FILE names another)"]


def _fill(path: Path, start: int) -> None:
    cache, said = opened(path)
    for number in range(start, start + 40):
        cache.keep({(f"/photos/{number}.jpg", number, 0): FACTS})
        cache.known([(f"/photos/{number // 2}.jpg", number // 2, 0)])
    cache.close()
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
    cache, _ = opened(path)
    assert len(cache.known([(f"/photos/{number}.jpg", number, 0) for number in range(60)])) == 60
    cache.close()


def test_lies_in_the_folder_for_caches(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache_path() == tmp_path / "sycoca" / "images.sqlite"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_cache_path() == tmp_path / ".cache" / "sycoca" / "images.sqlite"
    monkeypatch.setattr("sys.platform", "darwin")
    assert default_cache_path() == tmp_path / "Library" / "Caches" / "sycoca" / "images.sqlite"
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert default_cache_path() == tmp_path / "local" / "sycoca" / "images.sqlite"
