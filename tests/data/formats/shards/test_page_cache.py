"""Blocks of shards on the disk are read into the page cache before they are needed, and no more than those."""

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from builders.shards import write_set
from sycoca.data.formats.shards.shard_files import CAN_READ_AHEAD, LocalShards
from sycoca.data.formats.shards.source import ShardSource, open_shards
from sycoca.data.loading.order import KeyedOrder
from sycoca.data.loading.reading_ahead import reading_ahead
from sycoca.data.selection import Selection
from sycoca.unusable import UnusableSampleError

pytestmark = pytest.mark.skipif(not CAN_READ_AHEAD, reason="this system does not read ahead when asked to")

NUM_SAMPLES = 480
ORDER = KeyedOrder(seed=0, num_samples=NUM_SAMPLES, block_size=32, window_size=96)


@pytest.fixture
def shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    write_set(tmp_path / "set", num_shards=3, num_samples=160)
    return tmp_path / "set"


def eventually(is_true: Callable[[], bool]) -> bool:
    limit = time.monotonic() + 20
    while not is_true() and time.monotonic() < limit:
        time.sleep(0.005)
    return is_true()


@pytest.fixture
def read_ranges(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, int]]:
    """Ranges of shards that the system was asked to read."""
    ranges: list[tuple[int, int, int]] = []
    ask = LocalShards.will_need

    def recorded(files: LocalShards, shard: int, offset: int, size: int) -> None:
        ask(files, shard, offset, size)
        ranges.append((shard, offset, offset + size))

    monkeypatch.setattr(LocalShards, "will_need", recorded)
    return ranges


def is_read(source: ShardSource, index: int, ranges: Sequence[tuple[int, int, int]]) -> bool:
    shard, offset, size = source[index].open_image.images.index.image(source[index].open_image.number)
    return any(shard == one and start <= offset and offset + size <= stop for one, start, stop in ranges)


def test_blocks_on_the_disk_are_read_into_the_page_cache_before_they_are_needed(
    shards: Path, read_ranges: list[tuple[int, int, int]]
):
    source = open_shards(str(shards))
    ahead_of_start = int(1.5 * 96) // 32 + 1
    with reading_ahead(source, ORDER, 0) as ahead:
        assert eventually(lambda: len(read_ranges) >= ahead_of_start)
        time.sleep(0.05)
        assert len(read_ranges) <= ahead_of_start + 3  # a block that lies in two shards is two ranges
        for position in range(0, 2 * NUM_SAMPLES, 32):
            ahead.advance(position)
            needed = [index for _, index in ORDER.positions(position, 48)]
            assert eventually(lambda needed=needed: all(is_read(source, index, read_ranges) for index in needed))
    assert not any(thread.name == "read-ahead of shards" for thread in threading.enumerate())


def test_of_a_part_of_the_samples_nothing_else_is_read_ahead(shards: Path, read_ranges: list[tuple[int, int, int]]):
    source = open_shards(str(shards), wanted=Selection(limit=40, seed=0))
    order = KeyedOrder(seed=0, num_samples=40, block_size=8, window_size=40)
    with reading_ahead(source, order, 0):
        assert eventually(lambda: all(is_read(source, index, read_ranges) for index in range(40)))
    everything = open_shards(str(shards))
    wanted = {source[index].key for index in range(40)}
    others = [index for index in range(len(everything)) if everything[index].key not in wanted]
    assert not any(is_read(everything, index, read_ranges) for index in others)


def test_a_shard_that_is_gone_leaves_the_error_to_who_reads_it(shards: Path, read_ranges: list[tuple[int, int, int]]):
    open_shards(str(shards))  # indexes them
    source = open_shards(str(shards))
    (shards / "00000.tar").unlink()
    with reading_ahead(source, ORDER, 0) as ahead:
        ahead.advance(NUM_SAMPLES)
        assert eventually(lambda: {shard for shard, _, _ in read_ranges} == {1, 2})
        with pytest.raises(UnusableSampleError, match=r"00000\.tar cannot be read: No such file"):
            source[0].open_image()
