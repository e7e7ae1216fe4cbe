"""Time of the keyed order: positions of a billion samples, at any place."""

import time

import pytest

from sycoca.data.loading.order import BLOCK_SIZE, WINDOW_SIZE, EpochOrder

BILLION = 10**9

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "layout", [{}, {"block_size": BLOCK_SIZE, "window_size": WINDOW_SIZE}], ids=["plain", "shards"]
)
@pytest.mark.parametrize("first", [0, 123_456_789, BILLION - 65_536])
def test_65536_positions_of_a_billion_cost_less_than_5_ms(layout, first):
    order = EpochOrder(seed=1, epoch=0, num_samples=BILLION, **layout)
    seconds = []
    for _ in range(30):
        started = time.process_time()
        order.indices(first, first + 65_536)
        seconds.append(time.process_time() - started)
    print(f"65,536 positions from {first:,} on: {1000 * min(seconds):.1f} ms")
    assert min(seconds) < 0.005
