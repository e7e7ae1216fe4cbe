"""How a data set is mapped: blocks, engine, workers. Imports no torch, so that commands show their help at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypedDict

from sycoca.data.choices import check_skipped_ratio

Verb = Literal["caption", "embed", "filter", "score"]
"""What is done with every sample."""

Engine = Literal["local", "ray"]
"""Who starts the workers."""

RowFormat = Literal["jsonl", "parquet"]
"""Formats of rows."""

MapFormat = Literal["jsonl", "parquet", "safetensors"]
"""Formats of the output files; each is also their suffix."""

FORMATS: Mapping[Verb, tuple[MapFormat, ...]] = {
    "caption": ("jsonl", "parquet"),
    "embed": ("safetensors", "parquet", "jsonl"),
    "filter": ("jsonl", "parquet"),
    "score": ("jsonl", "parquet"),
}
"""The formats of each verb, the default first."""

DEFAULT_BLOCK_SIZE = 1024
"""Samples of a block, of sources without shards."""


class MapOptions(TypedDict, total=False):
    """The fields of `MapSettings` as keywords."""

    block_size: int | None
    engine: Engine
    workers: int | None
    threads: int | None
    ray_address: str | None
    max_skipped_ratio: float
    overwrite: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class MapSettings:
    """Blocks, engine and workers of a map over a data set."""

    block_size: int | None = None
    """Samples per output file, 1024 by default. Sources with shards get one file per shard instead."""

    engine: Engine = "local"
    """local: workers claim blocks from the output folder; start any number of commands on it. ray: one actor per device
    of an existing Ray cluster (extra [ray])."""

    workers: int | None = None
    """Worker processes of this command; by default 1, with ray one per GPU of the cluster, or 1 without GPUs."""

    threads: int | None = None
    """CPU threads per worker; by default the machine's cores divided by the workers, with ray 1."""

    ray_address: str | None = None
    """Address of the Ray cluster: auto on one of its nodes, or HOST:6379; by default that of RAY_ADDRESS, or a new
    cluster on this machine."""

    max_skipped_ratio: float = 0.0
    """Largest fraction of unreadable samples to skip; they are named in FOLDER/skipped. 0 makes the first one an
    error."""

    overwrite: bool = False
    """Start over: delete the files of the map that the folder holds."""

    def __post_init__(self) -> None:
        for name in ("block_size", "workers", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        check_skipped_ratio(self.max_skipped_ratio)
        if self.ray_address is not None and not USES_CLUSTER[self.engine]:
            raise ValueError(f"ray_address is an option of engine ray, not of {self.engine}")


USES_CLUSTER: Mapping[Engine, bool] = {"local": False, "ray": True}
"""Whether an engine runs on a cluster."""
