"""Many byte strings in two memory-mapped files: their content one after the other, and where each ends."""

import mmap
from collections.abc import Iterable
from pathlib import Path
from typing import final

import numpy as np

_BUFFER = 2**20


@final
class PackedLines:
    """Byte strings by number; the system reads them when they are asked for, once for all processes."""

    def __init__(self, path: Path) -> None:
        """Open the files that `write_lines` has written. Raises ValueError or OSError where they are damaged."""
        ends = np.load(path.with_suffix(".npy"), mmap_mode="r")
        self._ends = ends.view(np.ndarray)  # without the overhead of numpy's own class
        with path.open("rb") as file:
            size = path.stat().st_size
            self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
        if self._ends.dtype != np.uint64 or self._ends.ndim != 1 or not len(self._ends) or self._ends[-1] != size:
            raise ValueError(f"{path.name} does not have the size that {path.with_suffix('.npy').name} says")

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, number: int) -> bytes:
        return self._data[int(self._ends[number]) : int(self._ends[number + 1])]


@final
class LinesWriter:
    """Context that writes so many byte strings for `PackedLines`: a file, and one of the same name with ``.npy``."""

    def __init__(self, path: Path, number: int) -> None:
        self._path = path
        self._shape = (number + 1,)
        self._end = self._index = 0

    def __enter__(self) -> "LinesWriter":
        path = self._path.with_suffix(".npy")
        self._ends = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint64, shape=self._shape)
        self._file = self._path.open("wb", buffering=_BUFFER)
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._ends.flush()

    def add(self, lines: Iterable[bytes]) -> None:
        """Append byte strings."""
        for line in lines:
            self._file.write(line)
            self._end += len(line)
            self._index += 1
            self._ends[self._index] = self._end
