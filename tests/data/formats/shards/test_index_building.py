import hashlib
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest

from builders.shards import captioned, image_bytes, write_set, write_shard
from sycoca.data.formats.rows import Columns
from sycoca.data.formats.shards import build, index_folders
from sycoca.data.formats.shards.build import open_index
from sycoca.data.formats.shards.index import PackedIndex
from sycoca.data.formats.shards.shard_files import LocalShards
from sycoca.outputs.atomic import atomic_folder
from sycoca.outputs.errors import OutputError
from sycoca.outputs.lease import Lease, lease_beside


@pytest.fixture
def scanned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the shards that are scanned."""
    names: list[str] = []
    original = build.scan_shard

    def watched(files: LocalShards, shard: int, size: int, columns: Columns) -> object:
        names.append(files.names[shard])
        return original(files, shard, size, columns)

    monkeypatch.setattr(build, "scan_shard", watched)
    return names


def opened(folder: Path, columns: Columns | None = None, given: Path | None = None) -> PackedIndex:
    paths = sorted(str(path) for path in folder.glob("*.tar"))
    return open_index(LocalShards(paths), Columns() if columns is None else columns, given)


def content(index: PackedIndex) -> list[tuple[str, object, object]]:
    return [(index.key(number), index.texts(number).captions, index.image(number)) for number in range(len(index))]


def test_only_changed_shards_are_scanned_again(tmp_path: Path, scanned: list[str]):
    write_set(tmp_path, num_shards=3)
    opened(tmp_path)
    assert len(opened(tmp_path)) == 12
    assert scanned == ["00000.tar", "00001.tar", "00002.tar"]
    scanned.clear()
    write_shard(tmp_path / "00001.tar", {"new": captioned(7, "another"), "000010000": {"png": image_bytes(1)}})
    index = opened(tmp_path)
    assert scanned == ["00001.tar"]
    assert [index.key(number) for number in (3, 4, 5)] == [
        "00000.tar/000000003",
        "00001.tar/new",
        "00002.tar/000020000",
    ]
    assert [one.name for one in index.skipped] == ["00001.tar/000010000"]
    fresh = opened(tmp_path, given=tmp_path / "elsewhere")
    assert content(index) == content(fresh)
    assert list(index.skipped) == list(fresh.skipped)


def test_a_change_of_time_alone_counts(tmp_path: Path, scanned: list[str]):
    write_set(tmp_path, num_shards=1)
    opened(tmp_path)
    os.utime(tmp_path / "00000.tar", ns=(1, 1))
    opened(tmp_path)
    assert len(scanned) == 2


def test_a_set_that_grows_keeps_what_is_known(tmp_path: Path, scanned: list[str]):
    write_set(tmp_path, num_shards=2)
    opened(tmp_path)
    write_set(tmp_path / "more", num_shards=3)
    (tmp_path / "more" / "00002.tar").rename(tmp_path / "00002.tar")
    scanned.clear()
    assert len(opened(tmp_path)) == 12
    assert scanned == ["00002.tar"]


def test_other_columns_have_an_index_of_their_own(tmp_path: Path, scanned: list[str]):
    write_shard(tmp_path / "0.tar", {"a": {"png": image_bytes(1), "json": '{"caption": "x", "title": "y"}'}})
    assert opened(tmp_path).texts(0).captions == ("x",)
    assert opened(tmp_path, Columns(caption="title")).texts(0).captions == ("y",)
    assert opened(tmp_path).texts(0).captions == ("x",)
    assert len(scanned) == 2


@pytest.mark.parametrize("columns", [Columns(), Columns(caption="title")])
def test_an_index_whose_usual_fields_overruled_named_ones_is_built_again(tmp_path: Path, columns: Columns):
    former = hashlib.sha256(json.dumps(astuple(columns)).encode()).hexdigest()[:12]
    (folder,) = index_folders.index_folders(LocalShards([str(tmp_path / "0.tar")]), columns, tmp_path)
    assert folder.name.startswith(former) == (columns == Columns())


INDEX_FILES = ["index.json", "images.npy", "texts.npy", "texts.bin", "skipped.npy", "skipped.bin"]
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda data: data[:-3],
    "emptied": lambda _: b"",
    "no header": lambda data: data[:10] + b"(" * 100 + data[110:] + b"\n",
    "deep": lambda _: b"[" * 100_000,
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("file", INDEX_FILES)
def test_a_damaged_index_is_built_again(tmp_path: Path, file: str, damage: str, caplog: pytest.LogCaptureFixture):
    write_set(tmp_path, num_shards=2)
    write_shard(tmp_path / "bad.tar", {"a": {"txt": "x"}})
    index = opened(tmp_path)
    before = content(index)
    path = index.folder / file
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    again = opened(tmp_path)
    assert content(again) == before
    assert [one.name for one in again.skipped] == ["bad.tar/a"]
    assert "is built again" in caplog.text


def test_a_folder_that_cannot_be_written_has_its_index_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scanned: list[str]
):
    write_set(tmp_path / "set", num_shards=1)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(build, "can_write", lambda folder: "cache" in str(folder))
    index = opened(tmp_path / "set")
    assert index.folder.is_relative_to(tmp_path / "cache" / "sycoca" / "shards")
    assert opened(tmp_path / "set").folder == index.folder
    assert len(scanned) == 1
    monkeypatch.setattr(build, "can_write", lambda _: False)
    write_set(tmp_path / "other", num_shards=1)
    with pytest.raises(OutputError, match=r"cannot be written; name a folder for the index with \?index=DIR"):
        opened(tmp_path / "other")


def test_a_user_without_a_home_folder_has_the_index_beside_the_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As in containers whose user has no entry of passwd."""

    def none() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", none)
    write_set(tmp_path / "set", num_shards=1)
    assert opened(tmp_path / "set").folder.is_relative_to(tmp_path / "set" / ".sycoca-index")
    remote = LocalShards([str(tmp_path / "set" / "00000.tar")])
    monkeypatch.setattr(remote, "folder", None)
    with pytest.raises(OSError, match="set XDG_CACHE_HOME to a folder"):
        index_folders.index_folders(remote, Columns(), None)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root can write anywhere")
def test_rights_decide_where_the_index_is(tmp_path: Path):
    tmp_path.chmod(0o500)
    assert not index_folders.can_write(tmp_path / "new" / "folder")


def test_what_a_killed_build_has_scanned_is_not_scanned_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scanned: list[str]
):
    write_set(tmp_path, num_shards=3)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(build, "write_index", killed)
        with pytest.raises(KeyboardInterrupt):
            opened(tmp_path)
    scanned.clear()
    assert len(opened(tmp_path)) == 12
    assert scanned == []
    assert [path.name[0] for path in (tmp_path / ".sycoca-index").iterdir()] != ["."]


def test_a_build_leaves_other_indexes_of_the_folder_alone(tmp_path: Path):
    write_set(tmp_path, num_shards=2)
    root = opened(tmp_path).folder.parent
    with atomic_folder(root / "of-other-shards") as unfinished:  # as another process that is writing it now
        opened(tmp_path, Columns(caption="title"))
        assert unfinished.is_dir()


def test_a_build_deletes_what_a_killed_one_has_left(tmp_path: Path):
    write_set(tmp_path, num_shards=2)
    index = opened(tmp_path).folder
    left = index.with_name(f".{index.name}.0123456789ab")
    left.mkdir()
    os.utime(tmp_path / "00000.tar", ns=(1, 1))
    opened(tmp_path)
    assert not left.exists()


def test_a_damaged_part_of_a_killed_build_is_scanned_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_set(tmp_path, num_shards=3)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(build, "write_index", killed)
        with pytest.raises(KeyboardInterrupt):
            opened(tmp_path)
    for part, content in zip(sorted(tmp_path.rglob("*.npz")), (b"", b"PK\x03\x04", b"[]"), strict=True):
        part.write_bytes(content)
    assert len(opened(tmp_path)) == 12


def test_a_damaged_text_of_an_index_is_an_error_that_names_the_file(tmp_path: Path):
    write_set(tmp_path, num_shards=1)
    index = opened(tmp_path)
    (index.folder / "texts.bin").write_bytes(b"\xff" * (index.folder / "texts.bin").stat().st_size)
    with pytest.raises(ValueError, match=r"texts\.bin is damaged .*; delete the folder of this index"):
        PackedIndex(index.folder).texts(0)


def test_processes_wait_for_the_one_that_builds(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    write_set(tmp_path, num_shards=2)
    path = opened(tmp_path, given=tmp_path / "index").folder
    os.utime(tmp_path / "00000.tar", ns=(1, 1))
    found: list[PackedIndex] = []
    with Lease(lease_beside(path), path):
        waiting = threading.Thread(target=lambda: found.append(opened(tmp_path, given=tmp_path / "index")))
        waiting.start()
        time.sleep(0.4)
        assert waiting.is_alive()
    waiting.join(30)
    assert len(found[0]) == 8
    assert "waiting for the index of shards" in caplog.text


def test_several_processes_build_one_index(tmp_path: Path):
    write_set(tmp_path, num_shards=4, num_samples=50)
    code = "import sys; from sycoca.data.spec import open_source; print(len(open_source(sys.argv[1])))"
    command = [sys.executable, "-c", code, f"shards:{tmp_path}"]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [process.communicate(timeout=120)[0] for process in processes] == ["200\n"] * 3
    assert len([path for path in (tmp_path / ".sycoca-index").iterdir() if path.is_dir()]) == 1


def test_worker_processes_build_the_same_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_set(tmp_path, num_shards=4, num_samples=20)
    alone = opened(tmp_path, given=tmp_path / "alone")
    monkeypatch.setattr(build, "_BYTES_FOR_WORKERS", 0)
    together = opened(tmp_path, given=tmp_path / "together")
    for path in alone.folder.iterdir():
        assert path.read_bytes() == (together.folder / path.name).read_bytes()


def test_arrays_are_mapped_and_not_read(tmp_path: Path):
    write_set(tmp_path, num_shards=1)
    index = opened(tmp_path)
    assert isinstance(index._images.base, np.memmap)
