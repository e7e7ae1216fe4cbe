"""Sources that fetch what training needs before it does, while a loop takes batch after batch."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

from sycoca.data.loading.order import WINDOW_SIZE, KeyedOrder, SampleOrder
from sycoca.data.samples import SampleSource


@runtime_checkable
class RunningReadAhead(Protocol):
    """What a source does beside training."""

    def advance(self, consumed: int) -> None:
        """Tell that training has taken so many samples since it began."""
        ...

    def close(self) -> None:
        """Stop."""
        ...


@runtime_checkable
class FetchingSource(Protocol):
    """A source on another machine, whose samples can be fetched before they are asked for."""

    def read_ahead(self, blocks: Iterator[range], window: int) -> RunningReadAhead | None:
        """Begin to fetch blocks of samples, in the order of their first use; None where nothing is to be fetched."""
        ...


@contextmanager
def reading_ahead(source: SampleSource, order: SampleOrder, position: int) -> Iterator[RunningReadAhead]:
    """Context of training from a position on, in which the source fetches the blocks that will be needed."""
    ahead = _begun(source, order, position)
    try:
        yield ahead
    finally:
        ahead.close()


def _begun(source: SampleSource, order: SampleOrder, position: int) -> RunningReadAhead:
    running = None
    if isinstance(source, FetchingSource) and isinstance(order, KeyedOrder):
        running = source.read_ahead(order.blocks(position), order.window_size or WINDOW_SIZE)
    return _Nothing() if running is None else running


class _Nothing:
    """There is nothing to fetch."""

    def advance(self, consumed: int) -> None:
        """Take no notice."""

    def close(self) -> None:
        """Do nothing."""
