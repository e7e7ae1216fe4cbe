"""How samples are distributed over shards: how many each has, in which order, under which names."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sycoca.data.loading.permutation import KeyedPermutation
from sycoca.data.samples import ImageTextSample, SampleSource
from sycoca.data.selection import evenly_spread
from sycoca.data.writing.shard_files import WrittenShard, packed_bytes, write_shard
from sycoca.randomness import derive_key
from sycoca.unusable import UnusableSampleError

SAMPLES_PER_SHARD = 10_000
"""As img2dataset writes them."""

_NUM_MEASURED = 256
_NUM_IDENTIFYING = 1_000


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardLayout:
    """How samples are distributed over shards."""

    samples_per_shard: int | None = None
    """Samples of each shard but the last; `SAMPLES_PER_SHARD` unless their bytes are given."""

    bytes_per_shard: int | None = None
    """About how many bytes a shard has, by the mean size of samples from everywhere in the data."""

    shuffle: int | None = None
    """Seed of a random order; None keeps the order of the source."""

    def __post_init__(self) -> None:
        given = {"samples_per_shard": self.samples_per_shard, "bytes_per_shard": self.bytes_per_shard}
        for name, value in given.items():
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if None not in given.values():
            raise ValueError("shards have a number of samples or of bytes: give samples_per_shard or bytes_per_shard")
        if self.shuffle is not None and self.shuffle < 0:
            raise ValueError(f"shuffle is a seed of at least 0, got {self.shuffle}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Packing:
    """What all shards have in common; a worker process has a copy."""

    source: SampleSource
    """The samples."""

    shuffle: int | None
    """Seed of a random order; None for that of the source."""

    samples_each: int
    """Samples of each shard but the last."""

    folder: Path
    """Where the shards go."""

    @property
    def num_shards(self) -> int:
        """How many shards there are."""
        return -(-len(self.source) // self.samples_each)

    def name(self, number: int) -> str:
        """Return the file name of a shard."""
        return shard_name(number, self.num_shards)

    def write(self, number: int) -> WrittenShard:
        """Write a shard."""
        return write_shard(self.folder / self.name(number), self._samples(number))

    def _samples(self, number: int) -> Iterator[tuple[str, ImageTextSample]]:
        first = number * self.samples_each
        positions = np.arange(first, min(first + self.samples_each, len(self.source)))
        indices = positions if self.shuffle is None else _permutation(len(self.source), self.shuffle)(positions)
        digits = max(4, len(str(self.samples_each - 1)))
        stem = self.name(number).removesuffix(".tar")
        for position, index in enumerate(indices.tolist()):
            yield f"{stem}{position:0{digits}d}", self.source[index]

    def made_from(self) -> dict[str, Any]:
        """Return what determines the content of the shards, as far as it is known without reading images."""
        keys = hashlib.sha256()
        for index in evenly_spread(len(self.source), _NUM_IDENTIFYING):
            keys.update(self.source[index].key.encode("utf-8", "surrogatepass") + b"\0")
        return {
            "source": self.source.name,
            "source_samples": len(self.source),
            "source_keys": keys.hexdigest(),
            "samples_per_shard": self.samples_each,
            "shuffle": self.shuffle,
        }


def packed(source: SampleSource, layout: ShardLayout, folder: Path) -> Packing:
    """Return how the samples of a source go into shards. Raises ValueError where there are none."""
    if len(source) == 0:
        raise ValueError(f"{source.name} has no samples to write")
    return Packing(source=source, shuffle=layout.shuffle, samples_each=_samples_each(source, layout), folder=folder)


def shard_name(number: int, num_shards: int) -> str:
    """Return the file name of a shard."""
    return f"{number:0{max(5, len(str(num_shards - 1)))}d}.tar"


def _samples_each(source: SampleSource, layout: ShardLayout) -> int:
    if layout.bytes_per_shard is None:
        return layout.samples_per_shard or SAMPLES_PER_SHARD
    indices = evenly_spread(len(source), _NUM_MEASURED)
    sizes = [size for index in indices if (size := _size(source[index])) is not None]
    return max(1, layout.bytes_per_shard * len(sizes) // sum(sizes)) if sizes else SAMPLES_PER_SHARD


def _size(sample: ImageTextSample) -> int | None:
    try:
        return packed_bytes(sample)
    except UnusableSampleError:
        return None


def _permutation(num_samples: int, seed: int) -> KeyedPermutation:
    return KeyedPermutation(num_samples, derive_key(seed, "order of shards"))
