"""Blocks of samples that lie beside each other in remote shards: one request fetches the images of a whole block."""

from collections.abc import Iterable
from typing import final

from sycoca.data.formats.shards.index import ImagePlace, PackedIndex
from sycoca.data.formats.shards.remote.piece_cache import Piece, PieceCache
from sycoca.data.formats.shards.remote.remote_files import RemoteShards

BLOCK_SAMPLES = 32
"""Samples of a block, as in the order of training."""


@final
class ImageBlocks:
    """The images of remote shards by number, by way of their blocks in the cache."""

    def __init__(self, files: RemoteShards, index: PackedIndex) -> None:
        self._files = files
        self._index = index

    @property
    def cache(self) -> PieceCache:
        """Where blocks are kept."""
        return self._files.cache

    @property
    def mean_bytes(self) -> float:
        """Bytes of a sample with its share of everything else in the shards."""
        return sum(shard.state.size for shard in self._index.shards) / max(1, len(self._index))

    @property
    def num_samples(self) -> int:
        """Samples of all shards."""
        return len(self._index)

    def read(self, number: int, place: ImagePlace) -> bytes:
        """Return the bytes of an image, whose place is given."""
        piece = self._piece(place.shard, number // BLOCK_SAMPLES)
        return self.cache.read(piece, self._content, place.offset, place.size)

    def pieces(self, numbers: Iterable[int]) -> list[Piece]:
        """Return the pieces that hold the images of these samples: one for each block, or two at the end of a shard."""
        found = {(self._index.shard_of(number), number // BLOCK_SAMPLES) for number in numbers}
        return [self._piece(shard, block) for shard, block in sorted(found)]

    def fetch(self, piece: Piece) -> None:
        """Fetch a piece into the cache, unless it is there or being fetched."""
        self.cache.fetch(piece, self._content)

    def _content(self, piece: Piece) -> bytes:
        return self._files.read(piece.shard, piece.start, piece.stop - piece.start)

    def _piece(self, shard: int, block: int) -> Piece:
        """Return the range of a shard that holds the images of a block in it."""
        stop = min((block + 1) * BLOCK_SAMPLES, self._index.stops[shard])
        first = max(block * BLOCK_SAMPLES, self._index.stops[shard] - self._index.shards[shard].num_samples)
        places = [self._index.image(number) for number in range(first, stop)]
        begin = min(place.offset for place in places)
        end = max(place.offset + place.size for place in places)
        return self._files.piece(shard, begin, end)
