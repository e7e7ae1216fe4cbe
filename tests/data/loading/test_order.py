import time
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sycoca.data.loading.order import (
    BLOCK_SIZE,
    WINDOW_SIZE,
    EpochOrder,
    KeyedOrder,
    SampleOrder,
    TableOrder,
    keyed_order,
)
from sycoca.data.samples import ImageTextSample, Shard
from sycoca.randomness import derive_generator

BILLION = 10**9
SHARDED = {"block_size": BLOCK_SIZE, "window_size": WINDOW_SIZE}


class Source:
    name = "source"

    def __len__(self) -> int:
        return 100

    def __getitem__(self, index: int) -> ImageTextSample:
        raise NotImplementedError


class Sharded(Source):
    shards = (Shard(name="0.tar", first=0, stop=100),)


@settings(max_examples=50)
@given(
    num_samples=st.integers(1, 150),
    block_size=st.integers(1, 40),
    window_size=st.none() | st.integers(20, 120),
    epoch=st.integers(0, 5),
)
def test_every_sample_occurs_once_per_epoch(num_samples, block_size, window_size, epoch):
    order = EpochOrder(seed=2, epoch=epoch, num_samples=num_samples, block_size=block_size, window_size=window_size)
    indices = order.indices(0, num_samples)
    assert sorted(indices.tolist()) == list(range(num_samples))
    middle = num_samples // 3
    assert np.array_equal(indices[middle:], order.indices(middle, num_samples))
    windows = [order.window(number) for number in range(order.num_windows)]
    assert [position for window in windows for position in window] == list(range(num_samples))
    needed = [set(window) for window in np.split(indices // block_size, [window.stop for window in windows[:-1]])]
    assert sum(map(len, needed)) <= -(-num_samples // block_size) + 2 * len(windows)
    assert [block.start // block_size for block in order.blocks(0)] == [
        block
        for window in windows
        for block in dict.fromkeys((indices[window.start : window.stop] // block_size).tolist())
    ]


def test_the_short_last_block_is_whole_wherever_it_comes():
    for epoch in range(30):
        order = EpochOrder(seed=0, epoch=epoch, num_samples=23, block_size=5, window_size=5)
        assert [block for block in order.blocks(0) if len(block) == 3 and block.start == 20]
        assert sorted(order.indices(0, 23).tolist()) == list(range(23))


@pytest.mark.parametrize("layout", [{}, {"block_size": 4, "window_size": 20}])
def test_batches_follow_one_another_over_epochs(layout):
    order = KeyedOrder(seed=5, num_samples=50, **layout)
    whole = [order.positions(first, 10) for first in range(0, 150, 10)]
    for epoch in range(3):
        assert sorted(index for batch in whole[5 * epoch : 5 * epoch + 5] for _, index in batch) == list(range(50))
    assert sorted(order.positions(35, 30)) == sorted(
        whole[4] + whole[5] + order.positions(35, 5) + order.positions(60, 5)
    )
    assert [len(set(epoch for epoch, _ in order.positions(45, 10)))] == [2]


def test_orders_differ_by_seed_and_epoch():
    orders = [
        KeyedOrder(seed=seed, num_samples=50).positions(epoch * 50, 50) for seed, epoch in ((0, 0), (0, 1), (1, 0))
    ]
    assert len({tuple(index for _, index in order) for order in orders}) == 3


def test_the_order_of_older_runs_is_torch_randperm():
    expected = [
        (epoch, index)
        for epoch in range(3)
        for index in torch.randperm(7, generator=derive_generator(3, "order", epoch)).tolist()
    ]
    order: SampleOrder = TableOrder(seed=3, num_samples=7)
    assert order.positions(0, 21) == expected
    assert order.positions(5, 11) == expected[5:16]


def test_neighbors_of_shards_are_read_together():
    order = KeyedOrder(seed=1, num_samples=BILLION, **SHARDED)
    indices = np.array([index for _, index in order.positions(BILLION // 2, 2 * WINDOW_SIZE)])
    assert len(np.unique(indices // BLOCK_SIZE)) < 1.55 * 2 * WINDOW_SIZE / BLOCK_SIZE  # three windows are touched
    blocks = list(islice(order.blocks(BILLION // 2), 2 * WINDOW_SIZE // BLOCK_SIZE))
    assert len(set(indices.tolist()) - {index for block in blocks for index in block}) < len(indices) // 4


def test_a_batch_of_shards_is_in_the_order_of_storage_epoch_by_epoch():
    order = KeyedOrder(seed=1, num_samples=100, block_size=4, window_size=20)
    batch = order.positions(90, 30)
    assert batch == sorted(batch)
    assert {epoch for epoch, _ in batch} == {0, 1}


def test_shards_have_blocks_and_windows_and_other_sources_one_permutation():
    assert keyed_order(Sharded(), 4) == KeyedOrder(seed=4, num_samples=100, **SHARDED)
    assert keyed_order(Source(), 4) == KeyedOrder(seed=4, num_samples=100)


@pytest.mark.parametrize("batch_size", [256, 2048])
def test_shards_sorted_by_class_are_shuffled_almost_evenly(batch_size):
    """Mean distance of a batch's classes from an even draw, over 200 batches from the whole epoch."""
    num_samples, num_classes = 1_000_000, 100

    def distance_from_even(order: KeyedOrder) -> float:
        distances = []
        for first in np.linspace(0, num_samples - batch_size, 200, dtype=np.int64).tolist():
            indices = np.array([index for _, index in order.positions(first, batch_size)])
            counts = np.bincount(indices * num_classes // num_samples, minlength=num_classes)
            distances.append(np.abs(counts - batch_size / num_classes).sum() / batch_size)
        return float(np.mean(distances))

    whole = distance_from_even(KeyedOrder(seed=1, num_samples=num_samples))
    ratio = distance_from_even(KeyedOrder(seed=1, num_samples=num_samples, **SHARDED)) / whole
    assert ratio < 1.5


@pytest.mark.parametrize("layout", [{}, SHARDED])
def test_any_position_of_a_billion_is_computed_alone(layout):
    """In milliseconds; tests/reliability/test_order_speed.py measures how many. A table takes many seconds."""
    order = EpochOrder(seed=1, epoch=0, num_samples=BILLION, **layout)
    started = time.process_time()
    for first in (0, 123_456_789, BILLION - 65_536):
        assert len(np.unique(order.indices(first, first + 65_536))) == 65_536
    assert time.process_time() - started < 1


@pytest.mark.parametrize("sizes", [{"num_samples": 0}, {"block_size": 0}, {"window_size": 0}])
def test_sizes_below_one_are_an_error(sizes):
    with pytest.raises(ValueError, match="needs a sample and blocks and windows of at least one"):
        EpochOrder(**{"seed": 0, "epoch": 0, "num_samples": 5, **sizes})
