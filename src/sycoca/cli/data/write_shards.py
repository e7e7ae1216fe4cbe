"""``sycoca data write-shards``: pack any data into tar files."""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from sycoca.cli.shared.logs import stderr_console
from sycoca.cli.shared.results import counted, typed
from sycoca.cli.shared.usage import UsageError
from sycoca.data.writing.shard_layout import ShardLayout
from sycoca.data.writing.write_shards import write_shards


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Pack data into shards: tar files in the layout of webdataset, which shards: reads.

    Images keep the bytes of their files. A manifest lists size, SHA-256 and number of samples of each shard.
    """

    spec: Positional[str]
    """The data, as a SPEC."""

    out: Annotated[Path, arg(metavar="FOLDER")]
    """Folder for the shards; it is created if it does not exist."""

    samples_per_shard: int | None = None
    """Samples of each shard; 10,000 where neither this nor --bytes-per-shard is given."""

    bytes_per_shard: int | None = None
    """About how many bytes a shard has; 500000000 suits object storage."""

    shuffle: Annotated[int | None, arg(metavar="SEED")] = None
    """Put the samples into a random order; by default they keep theirs."""

    num_workers: int | None = None
    """Processes that write shards; one per processor by default."""

    max_skipped_ratio: float = 0.0
    """Largest fraction of unreadable samples to skip. 0 makes the first one an error."""

    resume: bool = False
    """Write only the shards that an interrupted command has not finished."""

    overwrite: bool = False
    """Replace shards that are there."""

    json: bool = False
    """Print counts and the SPEC of the shards as JSON."""

    def run(self) -> int:
        """Write the shards and print their folder."""
        try:
            layout = ShardLayout(
                samples_per_shard=self.samples_per_shard, bytes_per_shard=self.bytes_per_shard, shuffle=self.shuffle
            )
        except ValueError as error:
            flags = {
                name: f"--{name.replace('_', '-')}" for name in ("samples_per_shard", "bytes_per_shard", "shuffle")
            }
            raise UsageError(re.sub("|".join(flags), lambda found: flags[found[0]], str(error))) from error
        written = write_shards(
            self.spec,
            self.out,
            layout,
            num_workers=self.num_workers,
            max_skipped_ratio=self.max_skipped_ratio,
            resume=self.resume,
            overwrite=self.overwrite,
            console=stderr_console(),
        )
        if self.json:
            print(json.dumps({**asdict(written), "folder": str(written.folder), "spec": written.spec}))
            return 0
        samples, shards = counted(written.samples, "sample"), counted(written.shards, "shard")
        print(f"wrote {samples} in {shards}; use them as {typed(written.spec)}")
        return 0
