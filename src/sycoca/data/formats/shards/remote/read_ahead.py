"""Blocks of remote shards, fetched by threads before training needs them, and deleted when it is past them."""

import logging
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import final

from sycoca.data.formats.shards.pace import Pace
from sycoca.data.formats.shards.page_cache import WINDOWS_AHEAD
from sycoca.data.formats.shards.remote.blocks import ImageBlocks
from sycoca.data.formats.shards.remote.piece_cache import Piece

logger = logging.getLogger(__name__)

_REQUESTS_AT_ONCE = 8


@final
class ReadAhead:
    """A thread that fetches blocks in the order of their first use; `advance` tells how far training is."""

    def __init__(self, blocks: ImageBlocks, upcoming: Iterator[list[int]], window: int) -> None:
        """Start to fetch.

        Args:
            blocks: the images.
            upcoming: the samples of each block, in the order in which blocks are needed.
            window: samples that are shuffled together, and so how far ahead blocks are fetched. A block is not needed
                any more that many samples after its turn.
        """
        self._blocks = blocks
        self._upcoming = upcoming
        self._window = window
        held = blocks.cache.limit() / max(1.0, blocks.index.mean_bytes)
        self._keeps_all = len(blocks.index) <= held
        if not self._keeps_all and held < (1 + WINDOWS_AHEAD) * window:
            logger.warning(
                "the cache in %s takes %.1f GB, and shuffling needs %.1f GB (%g windows of %d samples): blocks may be"
                " fetched several times; name a larger one with ?cache_gb=N",
                blocks.cache.folder,
                blocks.cache.limit() / 1e9,
                (1 + WINDOWS_AHEAD) * window * blocks.index.mean_bytes / 1e9,
                1 + WINDOWS_AHEAD,
                window,
            )
        self._fetched: deque[tuple[int, list[Piece]]] = deque()
        self._uses: Counter[Piece] = Counter()
        self._failure = ""
        self._pace = Pace("read-ahead of shards", int(min(WINDOWS_AHEAD * window, held / 2)), self._run)
        self._pace.start()

    def advance(self, consumed: int) -> None:
        """Tell that training has taken so many samples since it began here."""
        self._pace.advance(consumed)

    def close(self) -> None:
        """Stop, after the requests that are being answered."""
        self._pace.close()

    def _run(self) -> None:
        running: deque[Future[None]] = deque()
        with ThreadPoolExecutor(_REQUESTS_AT_ONCE) as pool:
            turn = 0
            for numbers in self._upcoming:
                if not self._pace.wait_for(turn):
                    break
                self._delete_passed()
                pieces = self._blocks.pieces(numbers)
                self._fetched.append((turn, pieces))
                turn += len(numbers)
                self._uses.update(pieces)
                running.extend(pool.submit(self._fetch, piece) for piece in pieces if not self._blocks.cache.has(piece))
                while len(running) > _REQUESTS_AT_ONCE:
                    running.popleft().result()
            pool.shutdown(cancel_futures=True)

    def _delete_passed(self) -> None:
        while self._fetched and self._fetched[0][0] + self._window <= self._pace.consumed:
            _, pieces = self._fetched.popleft()
            self._uses.subtract(pieces)
            for piece in pieces:
                if self._uses[piece] == 0:
                    del self._uses[piece]
                    if not self._keeps_all:
                        self._blocks.cache.remove(piece)

    def _fetch(self, piece: Piece) -> None:
        try:
            self._blocks.fetch(piece)
        except (OSError, ValueError) as error:  # whoever needs the block tries again, and raises
            if str(error) != self._failure:
                self._failure = str(error)
                logger.warning("read-ahead: %s", error)
