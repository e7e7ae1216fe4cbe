"""Blocks of shards on the disk, read into the system's page cache before training needs them."""

import os
from collections.abc import Iterator, Sequence
from typing import final

from sycoca.data.formats.shards.index import PackedIndex
from sycoca.data.formats.shards.pace import Pace
from sycoca.data.formats.shards.shard_files import LocalShards

WINDOWS_AHEAD = 1.5
"""A batch needs blocks of its whole window, and loader workers are some batches ahead of training."""

_LARGEST_FRACTION = 0.25
"""Of the machine's memory: pages that are read too early are dropped before they are used."""


@final
class PageCacheReadAhead:
    """A thread that asks the system to read blocks in the order of their first use.

    Training takes single samples from all over its window, which a disk would read one by one. The page cache is the
    machine's, so what one process reads ahead serves its loader workers, and the other processes of the run.
    """

    def __init__(self, files: LocalShards, index: PackedIndex, upcoming: Iterator[list[int]], window: int) -> None:
        """Start to read.

        Args:
            files: the shards.
            index: their index.
            upcoming: the samples of each block, in the order in which blocks are needed.
            window: samples that are shuffled together, and so how far ahead blocks are read.
        """
        self._files = files
        self._index = index
        self._upcoming = upcoming
        fitting = _LARGEST_FRACTION * _memory_bytes() / max(1.0, index.mean_bytes)
        self._pace = Pace("read-ahead of shards", int(min(WINDOWS_AHEAD * window, fitting)), self._run)
        self._pace.start()

    def advance(self, consumed: int) -> None:
        """Tell that training has taken so many samples since it began here."""
        self._pace.advance(consumed)

    def close(self) -> None:
        """Stop."""
        self._pace.close()

    def _run(self) -> None:
        turn = 0
        for numbers in self._upcoming:
            if not self._pace.wait_for(turn):
                return
            turn += len(numbers)
            for run in _runs(numbers):
                self._read(run)

    def _read(self, run: range) -> None:
        for shard, start, stop in self._index.image_ranges(run.start, run.stop):
            try:
                self._files.will_need(shard, start, stop - start)
            except OSError:
                continue  # whoever needs the block tries again, and raises


def _runs(numbers: Sequence[int]) -> Iterator[range]:
    """Yield ascending numbers as ranges of neighbors; a split may have few samples of a long range of a shard."""
    start = numbers[0]
    for number, following in zip(numbers, [*numbers[1:], None], strict=True):
        if following != number + 1:
            yield range(start, number + 1)
            start = following if following is not None else start


def _memory_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
