"""The tensor files of a checkpoint; those with more than 256 MiB are cut into several.

    model.safetensors
    optimizer-00001-of-00003.safetensors
    optimizer-00002-of-00003.safetensors
    optimizer-00003-of-00003.safetensors

Several cores then write and hash them at once.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sycoca.outputs.manifest import DamageError
from sycoca.outputs.tensor_bytes import tensor_bytes

Part = Literal["model", "optimizer", "average"]
"""What a checkpoint holds as tensors."""

IS_REQUIRED: Mapping[Part, bool] = {"model": True, "optimizer": True, "average": False}
"""Whether every checkpoint has the part."""

MOST_BYTES = 256 * 2**20
"""Bytes of tensors in a file; a larger tensor has a file of its own."""

_BYTES_OF_SIZE = 8
"""A file of tensors begins with the size of its header, https://github.com/huggingface/safetensors#format."""

_PIECE = re.compile(r".+-(\d{5})-of-(\d{5})\.safetensors")


def split_into_files(part: Part, tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Return the tensors of each file, by its name."""
    names = pieces_of({name: tensor.nbytes for name, tensor in tensors.items()})
    pieces = [{name: tensors[name] for name in piece} for piece in names]
    if len(pieces) == 1:
        return {f"{part}.safetensors": pieces[0]}
    return {
        f"{part}-{number:05d}-of-{len(pieces):05d}.safetensors": piece for number, piece in enumerate(pieces, start=1)
    }


def pieces_of(sizes: Mapping[str, int]) -> list[list[str]]:
    """Return the names of the tensors of each file, given their bytes."""
    pieces: list[list[str]] = [[]]
    room = MOST_BYTES
    for name, size in sizes.items():
        if size > room and pieces[-1]:
            pieces.append([])
            room = MOST_BYTES
        pieces[-1].append(name)
        room -= size
    return pieces


def write_tensor_file(tensors: Mapping[str, Tensor], path: Path) -> Callable[[], str]:
    """Write a file of tensors, and return a function for its SHA-256.

    That is computed from the tensors, which is faster than to read the file, and tells a file that was not written
    right from one that was.
    """
    written = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(written, path)
    return lambda: _sha256(path, written)


def _sha256(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of a file: of its header, and of the tensors in the order that the header says."""
    with path.open("rb") as file:
        size = file.read(_BYTES_OF_SIZE)
        header = file.read(int.from_bytes(size, "little"))
    digest = hashlib.sha256(size + header)
    entries = {name: entry for name, entry in json.loads(header).items() if name in tensors}
    for name in sorted(entries, key=lambda name: entries[name]["data_offsets"]):
        digest.update(tensor_bytes(tensors[name]))
    return digest.hexdigest()


def tensor_files(folder: Path, part: Part) -> list[Path]:
    """Return the files of a part that are there, in order."""
    pieces = [path for path in folder.glob(f"{part}-*.safetensors") if _PIECE.fullmatch(path.name)]
    whole = folder / f"{part}.safetensors"
    return sorted(pieces) + ([whole] if whole.exists() else [])


def check_tensor_files(folder: Path, part: Part) -> None:
    """Raise DamageError where a file of a part is missing or is no file of tensors."""
    files = tensor_files(folder, part)
    _check_complete(folder, part, files)
    for path in files:
        check_tensor_file(path)


def check_tensor_file(path: Path) -> None:
    """Raise DamageError where a file is missing or is no file of tensors."""
    try:
        with safe_open(path, framework="pt"):
            pass
    except FileNotFoundError as error:
        raise DamageError(path, "is missing") from error
    except (OSError, SafetensorError) as error:
        raise DamageError(path, f"is damaged: {' '.join(str(error).split())}") from error


def _check_complete(folder: Path, part: Part, files: list[Path]) -> None:
    whole = folder / f"{part}.safetensors"
    if files == [whole]:
        return
    found = {path.name for path in files}
    pieces = [match for path in files if (match := _PIECE.fullmatch(path.name))]
    if not pieces:
        raise DamageError(whole, "is missing")
    total = int(pieces[-1][2])
    for number in range(1, total + 1):
        name = f"{part}-{number:05d}-of-{total:05d}.safetensors"
        if name not in found:
            raise DamageError(folder / name, "is missing")
