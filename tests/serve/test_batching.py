"""Batches: what goes together, what waits, what one bad input does to the others."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

import pytest

from sycoca.serve.batching import Batcher, Kind


class Recorded:
    """A computation that notes its batches, and waits in the first one until it may go on."""

    def __init__(self, compute: Callable[[Any], Any] = str) -> None:
        self.batches: list[list[Any]] = []
        self.may_go = threading.Event()
        self.has_begun = threading.Event()
        self._compute = compute

    def __call__(self, items: Sequence[Any]) -> list[Any]:
        self.batches.append(list(items))
        self.has_begun.set()
        assert self.may_go.wait(30)
        return [self._compute(item) for item in items]


def behind_the_first(
    compute: Recorded, inputs: Sequence[tuple[Kind, object]], max_batch_size: int = 8
) -> list["Future[Any]"]:
    """Submit one input, and the others while it is computed; return the futures of the others."""
    batcher = Batcher(max_batch_size, 0.0)
    batcher.submit(Kind(name="first", compute=compute), "first")
    assert compute.has_begun.wait(30)
    futures = [batcher.submit(kind, item) for kind, item in inputs]
    compute.may_go.set()
    batcher.close()
    return futures


def test_what_comes_during_a_batch_is_computed_together():
    compute = Recorded()
    kind = Kind(name="a", compute=compute)
    futures = behind_the_first(compute, [(kind, number) for number in range(5)])
    assert [future.result(0) for future in futures] == ["0", "1", "2", "3", "4"]
    assert compute.batches == [["first"], [0, 1, 2, 3, 4]]


def test_a_batch_has_a_largest_size():
    compute = Recorded()
    kind = Kind(name="a", compute=compute)
    behind_the_first(compute, [(kind, number) for number in range(5)], max_batch_size=2)
    assert compute.batches == [["first"], [0, 1], [2, 3], [4]]


def test_only_equal_kinds_and_options_go_together_the_oldest_first():
    compute = Recorded()
    a, other = Kind(name="a", compute=compute), Kind(name="b", compute=compute)
    beams = Kind(name="a", compute=compute, options=4)
    behind_the_first(compute, [(a, 0), (other, 1), (beams, 2), (a, 3), (beams, 4)])
    assert compute.batches == [["first"], [0, 3], [1], [2, 4]]


def test_some_kinds_are_computed_one_by_one():
    compute = Recorded()
    alone = Kind(name="a", compute=compute, is_batched=False)
    behind_the_first(compute, [(alone, 0), (alone, 1)])
    assert compute.batches == [["first"], [0], [1]]


def test_one_bad_input_spoils_no_other():
    compute = Recorded(compute=lambda item: 1 / item if item != "first" else 0)
    futures = behind_the_first(compute, [(Kind(name="a", compute=compute), number) for number in (2, 0, 4)])
    assert futures[0].result(0) == 0.5
    assert futures[2].result(0) == 0.25
    with pytest.raises(ZeroDivisionError):
        futures[1].result(0)


def test_a_cancelled_input_is_left_out():
    compute = Recorded()
    kind = Kind(name="a", compute=compute)
    batcher = Batcher(8, 0.0)
    batcher.submit(kind, "first")
    assert compute.has_begun.wait(30)
    given_up, kept = batcher.submit(kind, 1), batcher.submit(kind, 2)
    assert given_up.cancel()
    compute.may_go.set()
    batcher.close()
    assert kept.result(0) == "2"
    assert compute.batches == [["first"], [2]]


def test_cancelled_inputs_do_not_pile_up_behind_a_long_batch():
    compute = Recorded()
    kind = Kind(name="a", compute=compute)
    batcher = Batcher(8, 0.0)
    batcher.submit(kind, "first")
    assert compute.has_begun.wait(30)
    kept = batcher.submit(kind, "kept")
    for number in range(100):
        assert batcher.submit(kind, number).cancel()
        assert len(batcher._jobs) <= 2  # pyright: ignore[reportPrivateUsage]
    assert len(batcher) == 1
    compute.may_go.set()
    batcher.close()
    assert kept.result(0) == "kept"


def test_a_lone_input_waits_for_others_no_longer_than_it_is_told():
    compute = Recorded()
    compute.may_go.set()
    batcher = Batcher(3, 0.2)
    kind = Kind(name="a", compute=compute)
    started_at = time.monotonic()
    assert batcher.submit(kind, 0).result(30) == "0"
    assert time.monotonic() - started_at >= 0.2
    full = [batcher.submit(kind, number) for number in (1, 2, 3)]
    assert [future.result(30) for future in full] == ["1", "2", "3"]
    assert compute.batches == [[0], [1, 2, 3]]
    batcher.close()


def test_a_closed_batcher_has_computed_everything_and_takes_no_more():
    compute = Recorded()
    futures = behind_the_first(compute, [(Kind(name="a", compute=compute), 0)])
    assert futures[0].done()
    batcher = Batcher(8, 0.0)
    batcher.close()
    with pytest.raises(RuntimeError, match="stopping"):
        batcher.submit(Kind(name="a", compute=compute), 0)
