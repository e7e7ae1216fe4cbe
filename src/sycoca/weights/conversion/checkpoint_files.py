"""Safe reading of other projects' checkpoints: no code in them is executed."""

import pickle
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from sycoca.file_names import has_suffix
from sycoca.texts import read_small_json

_PICKLED_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt")
_SUFFIXES = (".safetensors", *_PICKLED_SUFFIXES)
_WRAPPERS = ("module.", "_orig_mod.")
"""Prefixes that data-parallel training and torch.compile add to every name."""

_NESTED = ("state_dict", "model", "model_state_dict")
"""Keys under which training scripts save the tensors, beside optimizer and counters."""

_BUFFERS = re.compile(r"(^|.*\.)(attn_mask|position_ids)$")
"""Constant buffers that older versions saved: causal masks and position ids."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """Tensors by name, as read from a checkpoint."""

    path: Path
    """The file, or the folder of several."""

    tensors: dict[str, Tensor]
    """Tensors on the CPU; half precision is converted to float32 without loss."""

    dropped: tuple[str, ...]
    """Constant buffers that were dropped."""


def read_checkpoint(path: Path, preferred_names: tuple[str, ...] = ()) -> Checkpoint:
    """Read a file, or the one in a folder; of several in a folder the first of ``preferred_names``.

    Prefixes of wrappers are removed. Raises ValueError, in one line, for a file that is missing, damaged, quantized,
    without tensors, or that would run code when unpickled: only safetensors and PyTorch's safe unpickler are used.
    """
    path = Path(path)
    if not path.exists():
        raise ValueError(f"{path} does not exist")
    tensors: dict[str, Tensor] = {}
    for file in _files(path, preferred_names):
        tensors |= _without_wrappers(file, _read(file))
    dropped = tuple(sorted(name for name in tensors if _BUFFERS.match(name)))
    kept = {name: _widened(tensor) for name, tensor in tensors.items() if name not in dropped}
    whole = sorted(name for name, tensor in kept.items() if not tensor.is_floating_point())
    if whole:
        raise ValueError(
            f"{path} has {kept[whole[0]].dtype} in {whole[0]}: it is quantized; take the weights in floating point"
        )
    return Checkpoint(path=path, tensors=kept, dropped=dropped)


def read_json(path: Path) -> dict[str, Any]:
    """Read a file that holds a JSON object; ValueError otherwise."""
    try:
        plain = read_small_json(Path(path))
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    if not isinstance(plain, dict):
        raise ValueError(f"{path} holds no JSON object")
    return plain


def _files(path: Path, preferred_names: tuple[str, ...]) -> list[Path]:
    if path.is_file():
        return [path]
    # In the order of transformers: a download of safetensors alone brings the index of the .bin files that it left out.
    for name in preferred_names:
        if (path / name).is_file():
            return [path / name]
        if (path / f"{name}.index.json").is_file():
            return _pieces(path / f"{name}.index.json")
    indexes = sorted(path.glob("*.safetensors.index.json")) or sorted(path.glob("*.bin.index.json"))
    if indexes:
        return _pieces(indexes[0])
    found = sorted(file for file in path.iterdir() if has_suffix(file, *_SUFFIXES))
    # Folders often hold the same weights in two formats; among different checkpoints the choice would be arbitrary.
    safe = [file for file in found if has_suffix(file, ".safetensors")] or found
    if len(safe) != 1:
        names = ", ".join(file.name for file in safe) or f"none of *{', *'.join(_SUFFIXES)}"
        way_on = "name the file itself" if safe else "copy the file of its weights there"
        raise ValueError(f"{path} should hold one checkpoint, found {names}; {way_on}")
    return safe


def _pieces(index: Path) -> list[Path]:
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ValueError(f"{index} names no files (weight_map)")
    pieces = sorted({index.parent / str(name) for name in weight_map.values()})
    missing = [piece.name for piece in pieces if not piece.is_file()]
    if missing:
        raise ValueError(
            f"{index} names {len(pieces)} files, of which {len(missing)} are not there, such as {missing[0]};"
            " download the whole folder again"
        )
    return pieces


def _read(path: Path) -> object:
    if has_suffix(path, ".safetensors"):
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{path} is damaged or not a safetensors file: {error}") from error
    if not has_suffix(path, *_PICKLED_SUFFIXES):
        raise ValueError(f"{path} cannot be read as a checkpoint: its name should end with {', '.join(_SUFFIXES)}")
    if _is_program(path):
        raise ValueError(
            f"{path} is a TorchScript program, as OpenAI published its CLIP, and is not run; take the same weights"
            " from Hugging Face and use sycoca convert from-hf"
        )
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        culprit = re.search(r"(?:GLOBAL|global) ([\w.]+)", str(error))
        what = f"it holds code ({culprit[1]})" if culprit else "it holds more than tensors, or is damaged"
        raise ValueError(
            f"{path} is refused and nothing of it was executed: {what}; ask its makers for safetensors"
        ) from error
    # Damaged bytes make the unpickler raise any of these.
    except (
        RuntimeError,
        EOFError,
        OSError,
        LookupError,
        ValueError,
        TypeError,
        AttributeError,
        ArithmeticError,
    ) as error:
        raise ValueError(f"{path} is damaged or not a PyTorch checkpoint: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _is_program(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise ValueError(f"{path} is damaged or not a PyTorch checkpoint: {error}") from error


def _without_wrappers(path: Path, content: object) -> dict[str, Tensor]:
    if isinstance(content, Mapping):
        for key in _NESTED:
            if isinstance(content.get(key), Mapping):
                return _without_wrappers(path, content[key])
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise ValueError(f"{path} holds no tensors by name; expected them at the top or under {', '.join(_NESTED)}")
    if not content:
        raise ValueError(f"{path} holds no tensors")
    return {_unprefixed(str(name)): tensor for name, tensor in content.items()}


def _unprefixed(name: str) -> str:
    for wrapper in _WRAPPERS:
        if name.startswith(wrapper):
            return _unprefixed(name.removeprefix(wrapper))
    return name


def _widened(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
