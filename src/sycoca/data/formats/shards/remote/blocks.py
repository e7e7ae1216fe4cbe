"""Blocks of samples that lie beside each other in remote shards: one request fetches the images of a whole block."""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import final

from sycoca.data.formats.shards.index import ImagePlace, PackedIndex
from sycoca.data.formats.shards.remote.piece_cache import Piece, PieceCache
from sycoca.data.formats.shards.remote.remote_files import RemoteShards

BLOCK_SAMPLES = 32
"""Samples of a block, as in the order of training."""

_BLOCKS_IN_ORDER = 2
_BLOCKS_AHEAD = 4
"""Blocks that are fetched ahead of who has read some in order: validation, captioning, maps."""


@final
class ImageBlocks:
    """The images of remote shards by number, by way of their blocks in the cache."""

    def __init__(self, files: RemoteShards, index: PackedIndex) -> None:
        self._files = files
        self._index = index
        self._forget()

    @property
    def cache(self) -> PieceCache:
        """Where blocks are kept."""
        return self._files.cache

    @property
    def index(self) -> PackedIndex:
        """Where the images are."""
        return self._index

    def read(self, number: int, place: ImagePlace) -> bytes:
        """Return the bytes of an image, whose place is given; who reads block after block finds the next ones here."""
        if not self._files.has_ranges:
            return self._files.read(place.shard, place.offset, place.size)
        block = number // BLOCK_SAMPLES
        if block != self._last_block:
            self._read_on(block)
        piece = self._piece(place.shard, block)
        return self.cache.read(piece, self._content, place.offset, place.size)

    def pieces(self, numbers: Iterable[int]) -> list[Piece]:
        """Return the pieces that hold the images of these samples: one for each block, or two at the end of a shard."""
        found = {(self._index.shard_of(number), number // BLOCK_SAMPLES) for number in numbers}
        return [self._piece(shard, block) for shard, block in sorted(found)]

    def fetch(self, piece: Piece) -> None:
        """Fetch a piece into the cache, unless it is there or being fetched; of a server without ranges its shard."""
        if self._files.has_ranges:
            self.cache.fetch(piece, self._content)
        else:
            self._content(piece)

    def _read_on(self, block: int) -> None:
        """Begin to fetch the blocks that follow, where some before this one were read in order."""
        if self._owner != os.getpid():
            self._forget()  # threads do not outlive a fork
        self._num_in_order = self._num_in_order + 1 if block == self._last_block + 1 else 0
        self._last_block = block
        if self._num_in_order < _BLOCKS_IN_ORDER:
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_BLOCKS_AHEAD, thread_name_prefix="next blocks of shards")
        following = range((block + 1) * BLOCK_SAMPLES, (block + 1 + _BLOCKS_AHEAD) * BLOCK_SAMPLES)
        for piece in self.pieces(range(following.start, min(following.stop, len(self._index)))):
            if not self.cache.has(piece):
                self._pool.submit(self.fetch, piece)  # an error is that of who reads the block

    def _forget(self) -> None:
        self._owner = os.getpid()
        self._last_block = -2
        self._num_in_order = 0
        self._pool: ThreadPoolExecutor | None = None

    def _content(self, piece: Piece) -> bytes:
        return self._files.read(piece.shard, piece.start, piece.stop - piece.start)

    def _piece(self, shard: int, block: int) -> Piece:
        """Return the range of a shard that holds the images of a block in it."""
        stop = min((block + 1) * BLOCK_SAMPLES, self._index.stops[shard])
        first = max(block * BLOCK_SAMPLES, self._index.stops[shard] - self._index.shards[shard].num_samples)
        [(_, begin, end)] = self._index.image_ranges(first, stop)
        return self._files.piece(shard, begin, end)
