"""Blocks: the samples that go into one output file."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from sycoca.data.samples import SampleSource, ShardedSource
from sycoca.mapping.settings import DEFAULT_BLOCK_SIZE

SKIPPED_BY_SOURCE = "source"
"""Name of the list of the samples that the source itself leaves out; no block is called so."""

_DIGITS = 5


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive samples of a source."""

    name: str
    """Name of its output file, without suffix."""

    first: int
    """Index of its first sample."""

    stop: int
    """Index behind its last sample."""

    def __len__(self) -> int:
        return self.stop - self.first


def blocks_of(source: SampleSource, block_size: int | None) -> list[Block]:
    """Return one block per shard of a source, or blocks of ``block_size`` samples of one without shards.

    Raises ValueError for a source without samples, and for a block size where shards decide.
    """
    if len(source) == 0:
        raise ValueError(f"{source.name} has no samples")
    if isinstance(source, ShardedSource):
        if block_size is not None:
            raise ValueError(f"{source.name} has shards, each of which becomes one file: leave block_size out")
        names = _file_names([shard.name for shard in source.shards])
        return [Block(name, shard.first, shard.stop) for name, shard in zip(names, source.shards, strict=True)]
    size = DEFAULT_BLOCK_SIZE if block_size is None else block_size
    starts = range(0, len(source), size)
    return [Block(_number(place), start, min(start + size, len(source))) for place, start in enumerate(starts)]


def _number(place: int) -> str:
    return f"{place:0{_DIGITS}d}"


def _file_names(shards: Sequence[str]) -> list[str]:
    """Return the shards' names without suffix, numbered where that does not tell them apart."""
    stems = [PurePosixPath(name.replace("\\", "/")).name.split(".")[0] for name in shards]
    counts = Counter(stems)
    is_clear = all(stem and counts[stem] == 1 and stem != SKIPPED_BY_SOURCE for stem in stems)
    return stems if is_clear else [f"{_number(place)}-{stem}" for place, stem in enumerate(stems)]
