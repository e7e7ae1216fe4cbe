"""Blocks are there before they are needed, no more of them than the window, and deleted when training is past them."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from builders.object_store import ObjectStore
from builders.shards import write_set
from sycoca.data.formats.shards.remote.piece_cache import CacheOptions, PieceCache
from sycoca.data.formats.shards.source import ShardSource, open_shards
from sycoca.data.loading.loader import TrainingBatches
from sycoca.data.loading.order import KeyedOrder, keyed_order
from sycoca.data.loading.reading_ahead import reading_ahead
from sycoca.data.spec import open_source
from sycoca.preprocess.config import ImageTransformConfig, TokenizerConfig
from sycoca.preprocess.tokenizer import Tokenizer
from sycoca.training.recipes.image_text.batches import CaptionBatches

NUM_SAMPLES = 480
ORDER = KeyedOrder(seed=0, num_samples=NUM_SAMPLES, block_size=32, window_size=96)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    write_set(tmp_path / "set", num_shards=3, num_samples=160)
    with ObjectStore(tmp_path / "set").serving() as serving:
        yield serving


def opened(store: ObjectStore, folder: Path) -> ShardSource:
    source = open_shards(f"{store.address}/{{00000..00002}}.tar", cache=CacheOptions(folder=folder))
    store.requests.clear()
    return source


def eventually(is_true: Callable[[], bool]) -> bool:
    limit = time.monotonic() + 20
    while not is_true() and time.monotonic() < limit:
        time.sleep(0.005)
    return is_true()


def blocks_in(folder: Path) -> int:
    return sum(not path.name.startswith(".") for path in folder.iterdir())


def test_training_finds_every_block_and_the_cache_stays_small(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # Less than all shards, more than three windows.
    monkeypatch.setattr(PieceCache, "limit", lambda _self, _used=0: 650_000)
    folder = tmp_path / "cache"
    source = opened(store, folder)
    blocks = source._images.blocks
    assert blocks is not None
    most = 0
    with reading_ahead(source, ORDER, 0) as ahead:
        for position in range(0, 2 * NUM_SAMPLES, 32):
            ahead.advance(position)
            pieces = blocks.pieces([index for _, index in ORDER.positions(position, 48)])
            assert eventually(lambda needed=pieces: all(map(blocks.cache.has, needed)))
            before = store.num_reads
            indices = [index for _, index in ORDER.positions(position, 32)]
            assert all(source[index].open_image.content() for index in indices)
            assert store.num_reads - before <= 2  # of the thread itself
            most = max(most, blocks_in(folder))
    assert store.num_reads <= 2 * 15 + 12  # a block that lies in two windows may come twice
    assert most <= 2.5 * 96 // 32 + 3


def test_what_the_cache_holds_as_a_whole_is_fetched_once(store: ObjectStore, tmp_path: Path):
    source = opened(store, tmp_path / "cache")
    with reading_ahead(source, ORDER, 100) as ahead:
        for position in range(100, 100 + NUM_SAMPLES, 32):
            ahead.advance(position - 100)
            for _, index in ORDER.positions(position, 32):
                source[index].open_image.content()
    assert 10 < store.num_reads == blocks_in(tmp_path / "cache") <= 15


def test_a_server_that_fails_leaves_the_error_to_who_needs_the_block(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr("sycoca.data.formats.shards.remote.remote_files._FIRST_PAUSE_SECONDS", 0.001)
    source = opened(store, tmp_path / "cache")
    store.fault = lambda _path, _number: 500
    with reading_ahead(source, ORDER, 0):
        assert eventually(lambda: "read-ahead: " in caplog.text)
        with pytest.raises(ConnectionError, match="tried 6 times"):
            source[0].open_image()
        store.fault = lambda _path, _number: None
        assert source[0].open_image().size == (16, 16)


def test_a_small_cache_is_told(store: ObjectStore, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    cache = CacheOptions(folder=tmp_path / "cache")
    source = open_shards(f"{store.address}/{{00000..00002}}.tar", cache=cache)
    source._images.files.cache.max_bytes = 100_000
    with reading_ahead(source, ORDER, 0):
        pass
    assert "blocks may be fetched several times; name a larger one with ?cache_gb=N" in caplog.text


def test_training_reads_each_block_once_and_sees_what_it_sees_from_the_disk(store: ObjectStore, tmp_path: Path):
    remote, local = opened(store, tmp_path / "cache"), open_shards(str(store.folder))
    tokenizer = Tokenizer.train([local[index].captions[0] for index in range(50)], TokenizerConfig(vocab_size=300))
    found = []
    for source in (remote, local):
        maker = CaptionBatches(source, tokenizer, 9, 0)
        settings = {"seed": 0, "global_batch_size": 96, "num_workers": 1}
        batches = TrainingBatches(source, maker, ImageTransformConfig(), 16, **settings)
        with closing(batches.from_position(32)) as iterator:
            found.append([next(iterator)[0] for _ in range(6)])
    for one, other in zip(*found, strict=True):
        assert (one.images == other.images).all()
        assert (one.tokens == other.tokens).all()
    assert store.num_reads == blocks_in(tmp_path / "cache") == 15
    assert not any(thread.name == "read-ahead of shards" for thread in threading.enumerate())


def test_who_reads_in_order_finds_the_next_blocks(store: ObjectStore, tmp_path: Path):
    source = opened(store, tmp_path / "cache")
    for index in (0, 200, 33, 400):
        source[index].open_image.content()
    assert blocks_in(tmp_path / "cache") == 4
    for index in range(3 * 32):
        source[index].open_image.content()
    assert eventually(lambda: blocks_in(tmp_path / "cache") == 3 + 4 + 1)
    assert [source[i].open_image.content() for i in range(NUM_SAMPLES)] == [
        sample.open_image.content() for sample in open_shards(str(store.folder))
    ]
    assert store.num_reads == 15


def test_each_source_of_a_mixture_fetches_ahead(store: ObjectStore, tmp_path: Path):
    lines = [
        f"- {{data: 'shards:{store.address}/{{00000..00001}}.tar?cache={tmp_path}/cache', weight: 2}}",
        f"- {{data: 'shards:{store.folder}/00002.tar', weight: 1}}",
    ]
    (tmp_path / "mixture.yaml").write_text("\n".join(["sources:", *lines]) + "\n")
    source = open_source(f"mixture:{tmp_path / 'mixture.yaml'}")
    order = keyed_order(source, 0)
    store.requests.clear()
    with reading_ahead(source, order, 0) as ahead:
        assert eventually(lambda: blocks_in(tmp_path / "cache") == 10)
        before = store.num_reads
        for position in range(0, 600, 60):
            ahead.advance(position)
            for _, index in order.positions(position, 60):
                source[index].open_image.content()
    assert store.num_reads == before == 10
