"""The tensors of a checkpoint as they lie in its files, of which each process reads the rows that it needs.

A tensor lies in one file, or its rows are spread over the files of several processes; their headers say which rows they
hold, as `torch.distributed.checkpoint` writes them.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
from safetensors import safe_open
from torch import Tensor

from sycoca.training.engine.checkpoints.shard_files import OFFSETS_KEY, shard_files
from sycoca.training.engine.checkpoints.tensor_files import Part, tensor_files
from sycoca.training.engine.distributed.shards import first_row, own_shard


@dataclass(frozen=True, kw_only=True, slots=True)
class Rows:
    """Consecutive rows of a tensor in one file."""

    file: Any
    """The open file."""

    key: str
    """The tensor's name there."""

    first: int
    """Index of the first row within the whole tensor."""

    shape: tuple[int, ...]
    """Shape of these rows."""

    @property
    def stop(self) -> int:
        """The index after that of the last row; 1 for a scalar."""
        return self.first + (self.shape[0] if self.shape else 1)

    def read(self, first: int, stop: int) -> Tensor:
        """Return rows of the whole tensor, which must lie here; a scalar is returned as such."""
        if not self.shape:
            return self.file.get_tensor(self.key)
        return self.file.get_slice(self.key)[first - self.first : stop - self.first]


@final
class StoredTensors:
    """The tensors of one part of a checkpoint."""

    def __init__(self, rows: Mapping[str, list[Rows]]) -> None:
        self._rows = rows

    @classmethod
    @contextmanager
    def of(cls, folder: Path, part: Part) -> Iterator["StoredTensors"]:
        """Open the files of a part; there are no tensors where there is none."""
        rows: dict[str, list[Rows]] = {}
        with ExitStack() as stack:
            for path in tensor_files(folder, part):
                file = stack.enter_context(safe_open(path, framework="pt"))
                for key in file.keys():  # noqa: SIM118 (not a mapping)
                    rows[key] = [Rows(file=file, key=key, first=0, shape=_shape(file, key))]
            for path in shard_files(folder):
                file = stack.enter_context(safe_open(path, framework="pt"))
                for name, found in _rows_of_shard(file, f"{part}/"):
                    rows.setdefault(name, []).append(found)
            yield cls(rows)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every whole tensor by name."""
        return {name: _whole_shape(rows) for name, rows in self._rows.items()}

    @torch.no_grad()
    def read_into(self, name: str, target: Tensor) -> None:
        """Fill a tensor of the same shape, or this process's shard of it."""
        own, first = own_shard(target), first_row(target)
        if not target.ndim:
            own.copy_(self._rows[name][0].read(0, 1))
            return
        stop = first + len(own)
        for rows in self._rows[name]:
            begin, end = max(first, rows.first), min(stop, rows.stop)
            if begin < end:
                own[begin - first : end - first].copy_(rows.read(begin, end))

    def read(self, name: str) -> Tensor:
        """Return a whole tensor."""
        rows = sorted(self._rows[name], key=lambda one: one.first)
        parts = [one.read(one.first, one.stop) for one in rows]
        return torch.cat(parts) if len(parts) > 1 else parts[0]


def _rows_of_shard(file: Any, prefix: str) -> Iterator[tuple[str, Rows]]:
    """Yield the name of every tensor of a part in a shard's file, and its rows there."""
    offsets = json.loads(file.metadata()[OFFSETS_KEY])
    for key in file.keys():  # noqa: SIM118 (not a mapping)
        if key.startswith(prefix):
            first = next(iter(offsets[key]["saved_offsets"]), 0)
            yield key.removeprefix(prefix), Rows(file=file, key=key, first=first, shape=_shape(file, key))


def _shape(file: Any, key: str) -> tuple[int, ...]:
    return tuple(file.get_slice(key).get_shape())


def _whole_shape(rows: list[Rows]) -> tuple[int, ...]:
    return (max(one.stop for one in rows), *rows[0].shape[1:]) if rows[0].shape else ()
