"""Shards behind a web server: the same samples as on the disk, few requests, and patience with failures."""

import errno
import os
import pickle
import time
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders.object_store import ObjectStore
from builders.shards import captioned, write_set, write_shard
from sycoca.data.formats.shards.remote import remote_files
from sycoca.data.formats.shards.remote.blocks import BLOCK_SAMPLES
from sycoca.data.formats.shards.remote.piece_cache import FILE_DIGITS, CacheOptions, Piece, PieceCache
from sycoca.data.formats.shards.source import ShardSource, open_shards
from sycoca.data.spec import open_source


@pytest.fixture
def shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three shards of 50 samples; the index and the cache are in the test's own folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(remote_files, "_FIRST_PAUSE_SECONDS", 0.001)
    write_set(tmp_path / "set", num_shards=3, num_samples=50)
    return tmp_path / "set"


@pytest.fixture
def store(shards: Path) -> Iterator[ObjectStore]:
    with ObjectStore(shards).serving() as serving:
        yield serving


def opened(store: ObjectStore, cache: Path, name: str = "{00000..00002}.tar") -> ShardSource:
    return open_shards(f"{store.address}/{name}", cache=CacheOptions(folder=cache))


def contents(source: ShardSource, indices: range | list[int]) -> list[bytes]:
    return [source[index].open_image.content() for index in indices]


def test_samples_are_those_of_the_local_shards(shards: Path, store: ObjectStore, tmp_path: Path):
    local = open_shards(str(shards))
    remote = opened(store, tmp_path / "cache")
    assert len(remote) == len(local) == 150
    assert [remote[i].key for i in range(150)] == [local[i].key for i in range(150)]
    assert [remote[i].captions for i in range(150)] == [local[i].captions for i in range(150)]
    assert contents(remote, range(150)) == contents(local, range(150))
    assert [shard.name for shard in remote.shards] == ["00000.tar", "00001.tar", "00002.tar"]
    again = pickle.loads(pickle.dumps(remote))
    assert contents(again, [149]) == contents(local, [149])


def test_an_index_is_built_from_ranges_once(store: ObjectStore, tmp_path: Path):
    opened(store, tmp_path / "cache")
    assert all(wanted.startswith("bytes=") for method, _, wanted in store.requests if method == "GET")
    store.requests.clear()
    opened(store, tmp_path / "cache")
    assert [method for method, _, _ in store.requests] == ["HEAD"] * 3


def test_one_request_fetches_a_block_for_all_processes(store: ObjectStore, tmp_path: Path):
    source = opened(store, tmp_path / "cache")
    store.requests.clear()
    contents(source, np.random.default_rng(0).permutation(150).tolist())
    pieces = 150 // BLOCK_SAMPLES + 1 + 2  # two blocks lie in two shards
    assert store.num_reads == pieces
    store.requests.clear()
    contents(opened(store, tmp_path / "cache"), range(150))
    assert store.num_reads == 0
    for path in (tmp_path / "cache").iterdir():
        path.write_bytes(path.read_bytes()[:-1])  # cut short by a crash of the machine
    assert contents(source, range(150)) == contents(opened(store, tmp_path / "other"), range(150))


def test_forked_processes_read_and_share(shards: Path, store: ObjectStore, tmp_path: Path):
    source = opened(store, tmp_path / "cache")
    contents(source, [0])  # connections are open
    store.requests.clear()
    context = get_context("fork")
    with context.Pool(2) as pool:
        found = pool.starmap(contents, [(source, range(start, start + 75)) for start in (0, 75)])
    assert [*found[0], *found[1]] == contents(open_shards(str(shards)), range(150))
    assert store.num_reads <= 7 + 1


def test_failures_that_pass_are_waited_for(store: ObjectStore, tmp_path: Path):
    source = opened(store, tmp_path / "cache")
    store.requests.clear()
    store.fault = lambda _, number: (500, 503, 429)[number - 1] if number <= 3 else None
    assert len(contents(source, [0])) == 1
    assert store.num_reads == 4


def test_what_does_not_pass_is_said(store: ObjectStore, tmp_path: Path):
    source = opened(store, tmp_path / "cache")
    store.fault = lambda _path, _number: 503
    with pytest.raises(ConnectionError, match=r"00000.tar cannot be reached, tried 6 times: 503"):
        contents(source, [0])
    store.fault = lambda _path, _number: 403
    with pytest.raises(ValueError, match=r"00000.tar cannot be read: 403"):
        contents(source, [0])
    store.fault = lambda _path, _number: None
    assert len(contents(source, [0])) == 1  # nothing is left of the failed fetches
    store.fault = lambda _path, number: 503 if number % 2 else None
    store.requests.clear()
    assert len(opened(store, tmp_path / "cache")) == 150
    store.fault = lambda _path, _number: None
    with pytest.raises(ValueError, match=r"00003.tar cannot be read"):
        opened(store, tmp_path / "cache", "{00002..00003}.tar")
    with pytest.raises(ValueError, match="web servers do not list their files; name them, as in"):
        opened(store, tmp_path / "cache", "*.tar")
    with pytest.raises(ValueError, match=r"nosuch://x/0.tar cannot be opened|needs more packages"):
        open_shards("nosuch://x/0.tar")
    with pytest.raises(ValueError, match=r"No module named 's3fs'\): pip install s3fs"):
        open_shards("s3://bucket/0.tar")
    with pytest.raises(ValueError, match=r"leave \?cache= and \?cache_gb= out"):
        open_source(f"shards:{store.folder}?cache_gb=3")


def test_a_server_without_ranges_sends_each_shard_once(shards: Path, store: ObjectStore, tmp_path: Path):
    store.has_ranges = False
    source = opened(store, tmp_path / "cache")
    assert contents(source, range(150)) == contents(open_shards(str(shards)), range(150))
    assert store.num_reads == 1 + 3  # the first asked for a range
    assert sum(path.stat().st_size for path in (tmp_path / "cache").iterdir()) == sum(
        path.stat().st_size for path in shards.glob("*.tar")
    )


def test_a_shard_that_changes_while_it_is_read_is_an_error(shards: Path, store: ObjectStore, tmp_path: Path):
    source = opened(store, tmp_path / "cache")
    path = shards / "00001.tar"
    content = path.read_bytes()
    path.write_bytes(content[: content.rfind(b"\x89PNG") + 10])
    with pytest.raises(ConnectionError, match=r"00001.tar: the server sent .* has the file changed\?"):
        contents(source, [99])
    path.write_bytes(content[:2000])
    with pytest.raises(ValueError, match=r"00001.tar cannot be read: 416"):
        contents(source, [99])


def test_a_changed_shard_has_other_pieces(shards: Path, store: ObjectStore, tmp_path: Path):
    contents(opened(store, tmp_path / "cache"), range(150))
    write_shard(shards / "00001.tar", {f"{number:09d}": captioned(number + 7) for number in range(10_000, 10_050)})
    assert contents(opened(store, tmp_path / "cache"), range(150)) == contents(open_shards(str(shards)), range(150))


def test_other_file_systems_of_fsspec_list_their_files(shards: Path, tmp_path: Path):
    address = f"file://{shards}"
    for spec in (f"shards:{address}/*.tar", f"shards:{address}/", f"shards:{address}/{{00000..00002}}.tar"):
        source = open_source(f"{spec}?cache={tmp_path / 'cache'}&cache_gb=1")
        assert contents(source, [0, 149]) == contents(open_shards(str(shards)), [0, 149])
    with pytest.raises(ValueError, match="there are no tar files"):
        open_source(f"shards:file://{tmp_path}/nothing*.tar")


def test_the_cache_is_bounded_and_loses_the_oldest(tmp_path: Path):
    cache = PieceCache(tmp_path, max_bytes=40_000)
    pieces = [Piece("f" * FILE_DIGITS, 0, index * 1000, (index + 1) * 1000) for index in range(200)]
    for index, piece in enumerate(pieces):
        cache.read(piece, lambda own: bytes(own.stop - own.start), piece.start, 10)
        os.utime(tmp_path / piece.name, (index, index))
    names = {path.name for path in tmp_path.iterdir()}
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 40_000 + 32_000
    assert pieces[-1].name in names
    assert pieces[0].name not in names


def test_only_the_cache_s_own_files_are_counted_and_deleted(tmp_path: Path):
    piece = Piece("f" * FILE_DIGITS, 0, 0, 1000)
    own = [f"{piece.name[:-1]}1", f".{piece.name}.claim", f".{piece.name}.01234567"]  # of killed processes too
    others = ["thesis.txt", f"{piece.name}.txt", f"a{piece.name}", f".{piece.name}.partial", "deadbeef-0-1000"]
    for name in own + others:
        (tmp_path / name).write_bytes(bytes(5000))
        os.utime(tmp_path / name, (1, 1))
    (tmp_path / f"{piece.name}7").mkdir()
    (tmp_path / f"{piece.name}8").symlink_to("thesis.txt")
    kept = {*others, f"{piece.name}7", f"{piece.name}8"}
    PieceCache(tmp_path, max_bytes=14_999)._make_room()
    assert {path.name for path in tmp_path.iterdir()} - kept <= set(own[1:] + own[:1])
    cache = PieceCache(tmp_path, max_bytes=1)
    cache.read(piece, lambda _: bytes(1000), 0, 10)  # looks once, before it writes
    assert {path.name for path in tmp_path.iterdir()} == kept | {piece.name}
    cache._make_room(0.5)
    assert {path.name for path in tmp_path.iterdir()} == kept


def test_a_folder_with_other_files_may_hold_the_cache(shards: Path, tmp_path: Path):
    folder = tmp_path / "documents"
    folder.mkdir()
    with (folder / "backup.img").open("wb") as file:
        file.truncate(2 * 10**9)  # takes no space
    (folder / "thesis.txt").write_text("years")
    spec = f"shards:file://{shards}/00000.tar?cache={folder}&cache_gb=1"
    assert contents(open_source(spec), [0]) == contents(open_shards(str(shards)), [0])
    assert {"backup.img", "thesis.txt"} < {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("is_lasting", [False, True])
def test_a_full_disk_costs_old_pieces_and_no_sample(
    shards: Path, store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_lasting: bool
):
    source = opened(store, tmp_path / "cache")
    source[0].open_image()
    before = [path.name for path in (tmp_path / "cache").iterdir()]
    write, calls = Path.write_bytes, []

    def full(path: Path, data: bytes) -> int:
        calls.append(path)
        if is_lasting or len(calls) == 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    last = len(source) - 1
    if is_lasting:
        with pytest.raises(OSError, match=r"No space left on device: '.*cache/[^.]"):
            source[last].open_image()
    else:
        assert contents(source, [last]) == contents(open_shards(str(shards)), [last])
        assert len(calls) == 2
    assert not set(before) & {path.name for path in (tmp_path / "cache").iterdir()}


def test_a_disk_that_is_too_full_for_a_claim_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    cache, piece, opened = PieceCache(tmp_path), Piece("f" * FILE_DIGITS, 0, 0, 100), Path.open

    def full(path: Path, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if path.name.endswith(".claim") and mode == "x":
            opened(path, mode).close()  # an empty file takes no block
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return opened(path, mode, *arguments, **options)

    monkeypatch.setattr(Path, "open", full)
    assert cache.read(piece, lambda _: bytes(100), 0, 10) == bytes(10)
    assert [path.name for path in tmp_path.iterdir()] == [piece.name], "the empty claim is gone, and the piece is there"


def test_who_was_killed_while_fetching_holds_nobody_up(tmp_path: Path):
    cache, piece = PieceCache(tmp_path), Piece("f" * FILE_DIGITS, 0, 0, 100)
    child = get_context("fork").Process(target=os._exit, args=(0,))
    child.start()
    child.join()
    (tmp_path / f".{piece.name}.claim").write_text(f"{child.pid}\n")
    began = time.perf_counter()
    assert cache.read(piece, lambda _: bytes(100), 0, 10) == bytes(10)
    assert time.perf_counter() - began < 1
    (tmp_path / f".{piece.name}.claim").write_text(f"{os.getpid()}\n")
    cache.remove(piece)
    assert cache.fetch(piece, lambda _: bytes(100)) is None  # this process fetches it already
