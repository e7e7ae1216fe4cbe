"""A safetensors file written tensor by tensor, so that no more than one of them has to be in memory."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from sycoca.outputs.tensor_bytes import tensor_bytes

_DTYPE_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
}
"""The format's names of the types that weights have."""

_ALIGNMENT = 8
"""Tensors begin at a multiple of so many bytes."""


def stream_order(tensors: Mapping[str, Tensor]) -> list[str]:
    """Return the names in the order in which they lie in the file, that of the safetensors library."""
    return sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))


def write_tensor_stream(path: Path, like: Mapping[str, Tensor], read: Callable[[str], Tensor]) -> None:
    """Write the header first, then each tensor as ``read`` returns it, in the order of `stream_order`.

    Args:
        path: the file to write.
        like: tensors of the same names, shapes and types, whose values are not used.
        read: returns a tensor by its name; called once for each.
    """
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name in stream_order(like):
        tensor = like[name]
        begin, end = end, end + tensor.numel() * tensor.dtype.itemsize
        header[name] = {"dtype": _DTYPE_NAMES[tensor.dtype], "shape": [*tensor.shape], "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(_ALIGNMENT, "little") + text)
        for name in stream_order(like):
            file.write(tensor_bytes(read(name).to(like[name].dtype)))
