"""Where the index of a source of shards is: beside the shards, in the user's cache folder, or where a SPEC says."""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import astuple
from pathlib import Path
from typing import NamedTuple

from sycoca.data.formats.rows import Columns
from sycoca.data.formats.shards.groups import TEXT_SUFFIX
from sycoca.data.formats.shards.shard_files import ShardFiles
from sycoca.outputs.cache_folder import user_cache_folder

BESIDE = ".sycoca-index"
"""Name of the folder of indexes beside the shards."""


class IndexFolder(NamedTuple):
    """A folder that holds an index, or may hold one."""

    root: Path
    """The folder of all indexes of these shards."""

    name: str
    """Name of the index's own folder in it."""

    @property
    def path(self) -> Path:
        """The folder of the index."""
        return self.root / self.name

    @property
    def parts(self) -> Path:
        """The folder of what is finished of an index that is being built."""
        return self.root / f".{self.name}.parts"

    def relatives(self) -> Iterator[Path]:
        """Yield the folders of indexes whose texts were read from the same columns, its own first."""
        yield self.path
        kind = self.name.partition("-")[0]
        if self.root.is_dir():
            yield from sorted(path for path in self.root.glob(f"{kind}-*") if path != self.path)


def index_folders(files: ShardFiles, columns: Columns, given: Path | None) -> list[IndexFolder]:
    """Return where an index may be, the preferred folder first; ``given`` is the folder that a SPEC names."""
    name = f"{_digest([*astuple(columns), *_reading(columns)])}-{_digest(files.names)}"
    if given is not None:
        return [IndexFolder(given, name)]
    shards = os.path.dirname(os.path.abspath(files.paths[0])) if files.folder is None else str(files.folder)
    beside = [] if files.folder is None else [IndexFolder(files.folder / BESIDE, name)]
    try:
        return [*beside, IndexFolder(user_cache_folder() / "shards" / _digest([shards]), name)]
    except OSError:  # there is no cache folder
        if not beside:
            raise
        return beside


def _reading(columns: Columns) -> tuple[str, ...]:
    """Return what tells an index of named fields from those of versions that read others by these names."""
    lines = ("captions are lines",) if columns.captions == TEXT_SUFFIX else ()
    return () if columns == Columns() else ("named fields first", *lines)


def can_write(folder: Path) -> bool:
    """Return whether files can be created in a folder, or in the one that it would be created in."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


def _digest(values: object) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:12]
