"""Sources that fetch or read what training needs before it does, while a loop takes batch after batch."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

from sycoca.data.loading.order import WINDOW_SIZE, KeyedOrder, MixtureOrder, SampleOrder
from sycoca.data.samples import MixedSource, SampleSource


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
    """A source whose samples can be fetched, or read from the disk, before they are asked for."""

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
    if isinstance(source, MixedSource) and isinstance(order, MixtureOrder):
        return _OfMixture(source, order, position)
    running = None
    if isinstance(source, FetchingSource) and isinstance(order, KeyedOrder):
        running = source.read_ahead(order.blocks(position), order.window_size or WINDOW_SIZE)
    return _Nothing() if running is None else running


class _OfMixture:
    """Each source of a mixture fetches for itself; its own position follows from the mixture's, to within a cycle."""

    def __init__(self, source: MixedSource, order: MixtureOrder, position: int) -> None:
        self._order = order
        self._position = position
        self._starts = self._own(position)
        self._running = [
            _begun(part.source, own, start)
            for part, own, start in zip(source.parts, order.parts, self._starts, strict=True)
        ]

    def advance(self, consumed: int) -> None:
        """Tell each source how far it is."""
        own = self._own(self._position + consumed)
        for running, start, position in zip(self._running, self._starts, own, strict=True):
            running.advance(position - start)

    def close(self) -> None:
        """Stop all."""
        for running in self._running:
            running.close()

    def _own(self, position: int) -> list[int]:
        """Return the positions of the sources: those at the start of the cycle, at which blocks are still needed."""
        cycle = position // sum(self._order.nums_per_cycle)
        return [cycle * number for number in self._order.nums_per_cycle]


class _Nothing:
    """There is nothing to fetch."""

    def advance(self, consumed: int) -> None:
        """Take no notice."""

    def close(self) -> None:
        """Do nothing."""
