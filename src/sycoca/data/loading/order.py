"""The order in which training visits the samples: a function of seed and position, without a table."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, final, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int, Int64
from torch import Tensor

from sycoca.data.loading.permutation import KeyedPermutation
from sycoca.data.samples import MixedSource, SampleSource, ShardedSource
from sycoca.randomness import derive_generator, derive_key

SamplePosition = tuple[int, int]
"""Epoch and index of a sample."""

BLOCK_SIZE = 32
"""Samples of a sharded source that are read together: a few hundred kilobytes to a few megabytes of a shard."""

WINDOW_SIZE = 65_536
"""Samples among which a sharded source is shuffled one by one. A batch is nearly an even draw where its window holds at
least as many blocks as the batch has samples: here 2,048, the paper's batch size."""


@runtime_checkable
class SampleOrder(Protocol):
    """An infinite stream of samples; its position is the number of samples before it."""

    def positions(self, first: int, count: int) -> list[SamplePosition]:
        """Return the ``count`` samples from position ``first`` of the stream on, as one batch takes them."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochOrder:
    """The order of one epoch of ``num_samples`` samples, each of which occurs once.

    The indices are cut into blocks of consecutive samples, which are permuted; the resulting sequence is cut into
    windows, and samples are permuted inside each. So a reader needs the blocks of one window at a time. With
    ``block_size`` 1, or one window for all samples, that is one permutation of all of them.
    """

    seed: int
    epoch: int
    num_samples: int
    block_size: int = 1
    """Consecutive samples that stay in one window; the last block may be shorter."""

    window_size: int | None = None
    """Least number of samples of a window, where there are as many; None for one window."""

    def __post_init__(self) -> None:
        sizes = (self.num_samples, self.block_size, 1 if self.window_size is None else self.window_size)
        if min(sizes) < 1:
            raise ValueError(f"an order needs a sample and blocks and windows of at least one, got {self}")

    @property
    def num_windows(self) -> int:
        """How many windows the epoch has; their sizes differ by one sample at most."""
        return 1 if self.window_size is None else max(1, self.num_samples // self.window_size)

    def window(self, number: int) -> range:
        """Return the positions of a window."""
        return range(number * self.num_samples // self.num_windows, (number + 1) * self.num_samples // self.num_windows)

    def indices(self, first: int, stop: int) -> Int64[np.ndarray, " positions"]:
        """Return the samples at positions ``first`` to ``stop`` - 1 of the epoch."""
        parts: list[Int64[np.ndarray, " positions"]] = []
        while first < stop:
            number = self._window_of(first)
            end = min(stop, self.window(number).stop)
            parts.append(self._in_window(number, first, end))
            first = end
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)

    def blocks(self, first: int) -> Iterator[range]:
        """Yield the blocks, as ranges of samples, that positions from ``first`` on need, each at its first use.

        A block that lies in two windows occurs in both.
        """
        for number in range(self._window_of(first), self.num_windows):
            window = self.window(number)
            used = self.indices(max(first, window.start), window.stop) // self.block_size
            blocks, uses = np.unique(used, return_index=True)
            for block in blocks[np.argsort(uses)].tolist():
                start = block * self.block_size
                yield range(start, min(start + self.block_size, self.num_samples))

    def _window_of(self, position: int) -> int:
        return ((position + 1) * self.num_windows - 1) // self.num_samples

    def _in_window(self, number: int, first: int, stop: int) -> Int64[np.ndarray, " positions"]:
        positions = np.arange(first, stop, dtype=np.int64)
        if self.block_size > 1 or self.num_windows == 1:
            window = self.window(number)
            permutation = KeyedPermutation(len(window), derive_key(self.seed, "window order", self.epoch, number))
            positions = window.start + permutation(positions - window.start)
        return positions if self.num_windows == 1 else self._of_permuted_blocks(positions)

    def _of_permuted_blocks(self, positions: Int64[np.ndarray, " positions"]) -> Int64[np.ndarray, " positions"]:
        """Return the samples at positions of the sequence of permuted blocks."""
        num_blocks = -(-self.num_samples // self.block_size)
        permutation = KeyedPermutation(num_blocks, derive_key(self.seed, "block order", self.epoch))
        short_slot = permutation.position_of(num_blocks - 1)
        num_missing = num_blocks * self.block_size - self.num_samples
        after_short = positions >= (short_slot + 1) * self.block_size - num_missing
        positions = positions + num_missing * after_short
        slots = positions // self.block_size
        first_slot = slots.min()
        blocks = permutation(np.arange(first_slot, slots.max() + 1))  # of a window, each once
        return positions + (blocks[slots - first_slot] - slots) * self.block_size


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class KeyedOrder:
    """Epoch after epoch, each in an `EpochOrder` of its own: constant memory, any position at once."""

    seed: int
    num_samples: int
    block_size: int = 1
    window_size: int | None = None

    def positions(self, first: int, count: int) -> list[SamplePosition]:
        """Return the samples from position ``first`` on; those of a sharded source in the order of their storage.

        So a process that takes one slice of every batch reads few of the blocks that the others read.
        """
        positions = self.shuffled(first, count)
        return sorted(positions) if self.block_size > 1 else positions

    def shuffled(self, first: int, count: int) -> list[SamplePosition]:
        """Return the samples from position ``first`` on, each at its own position."""
        return [
            (epoch, index)
            for epoch, start, stop in _by_epoch(first, count, self.num_samples)
            for index in self.epoch_order(epoch).indices(start, stop).tolist()
        ]

    def blocks(self, first: int) -> Iterator[range]:
        """Yield the blocks, as ranges of samples, that positions from ``first`` on need; without end."""
        epoch, start = divmod(first, self.num_samples)
        while True:
            yield from self.epoch_order(epoch).blocks(start)
            epoch, start = epoch + 1, 0

    def epoch_order(self, epoch: int) -> EpochOrder:
        """Return the order of one epoch."""
        return EpochOrder(
            seed=self.seed,
            epoch=epoch,
            num_samples=self.num_samples,
            block_size=self.block_size,
            window_size=self.window_size,
        )


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class MixtureOrder:
    """Samples of several sources in cycles, in each of which every source has its exact number, in a permuted order.

    Each source has epochs of its own, in each of which every sample occurs once. A sample's epoch is that of its
    source, its index that in the whole mixture.
    """

    seed: int
    parts: tuple[KeyedOrder, ...]
    """The orders of the sources."""

    nums_per_cycle: tuple[int, ...]
    """How many samples of a cycle each source has."""

    def positions(self, first: int, count: int) -> list[SamplePosition]:
        """Return the samples from position ``first`` on; with shards, by source in the order of their storage."""
        numbers, positions = self._draws(first, count)
        samples: list[SamplePosition] = [(0, 0)] * count
        num_before = 0
        for number, part in enumerate(self.parts):
            slots = np.flatnonzero(numbers == number)
            if len(slots):
                start = int(positions[slots].min())
                drawn = part.shuffled(start, int(positions[slots].max()) + 1 - start)
                for slot in slots.tolist():
                    epoch, index = drawn[int(positions[slot]) - start]
                    samples[slot] = epoch, num_before + index
            num_before += part.num_samples
        is_sharded = any(part.block_size > 1 for part in self.parts)
        return sorted(samples, key=lambda sample: sample[::-1]) if is_sharded else samples

    def _draws(self, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the source of each position of the mixture, and the position in that source's own stream."""
        ends = np.cumsum(self.nums_per_cycle)
        starts = ends - self.nums_per_cycle
        numbers: list[np.ndarray] = []
        positions: list[np.ndarray] = []
        for cycle, start, stop in _by_epoch(first, count, int(ends[-1])):
            permutation = KeyedPermutation(int(ends[-1]), derive_key(self.seed, "mixture order", cycle))
            slots = permutation(np.arange(start, stop, dtype=np.int64))
            of_slots = np.searchsorted(ends, slots, side="right")
            numbers.append(of_slots)
            positions.append(cycle * np.array(self.nums_per_cycle)[of_slots] + slots - starts[of_slots])
        return np.concatenate(numbers), np.concatenate(positions)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class TableOrder:
    """Epoch after epoch, each permuted as a whole in memory (8 bytes a sample): the order of older runs."""

    seed: int
    num_samples: int

    def positions(self, first: int, count: int) -> list[SamplePosition]:
        """Return the samples from position ``first`` on."""
        return [
            (epoch, index)
            for epoch, start, stop in _by_epoch(first, count, self.num_samples)
            for index in _table(self.seed, epoch, self.num_samples)[start:stop].tolist()
        ]


def keyed_order(source: SampleSource, seed: int) -> KeyedOrder | MixtureOrder:
    """Return the order of a source: blocks in windows for shards, one permutation of all samples for others.

    Of a mixture, each source has an order of its own.
    """
    if not isinstance(source, MixedSource):
        return _order_of_one(source, seed)
    return MixtureOrder(
        seed=seed,
        parts=tuple(
            _order_of_one(part.source, derive_key(seed, "mixture source", number))
            for number, part in enumerate(source.parts)
        ),
        nums_per_cycle=tuple(part.num_per_cycle for part in source.parts),
    )


def table_order(source: SampleSource, seed: int) -> TableOrder:
    """Return the order of older runs, which knew no mixtures: raises ValueError for one."""
    if isinstance(source, MixedSource):
        raise ValueError(f"{source.name} is a mixture, which data.order table cannot draw from; take keyed")
    return TableOrder(seed=seed, num_samples=len(source))


def _order_of_one(source: SampleSource, seed: int) -> KeyedOrder:
    if isinstance(source, ShardedSource):
        return KeyedOrder(seed=seed, num_samples=len(source), block_size=BLOCK_SIZE, window_size=WINDOW_SIZE)
    return KeyedOrder(seed=seed, num_samples=len(source))


def _by_epoch(first: int, count: int, num_samples: int) -> Iterator[tuple[int, int, int]]:
    """Yield epoch, first and stop of the parts of ``count`` positions of a stream of epochs."""
    stop = first + count
    while first < stop:
        epoch, start = divmod(first, num_samples)
        end = min(start + stop - first, num_samples)
        yield epoch, start, end
        first += end - start


@lru_cache(maxsize=4)
def _table(seed: int, epoch: int, num_samples: int) -> Int[Tensor, " samples"]:
    return torch.randperm(num_samples, generator=derive_generator(seed, "order", epoch))
