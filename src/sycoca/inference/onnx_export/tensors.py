"""The tensors of several graphs in one file, in which shared tensors are stored once."""

import hashlib
from pathlib import Path
from typing import final

import onnx_ir

TENSORS_NAME = "weights.bin"

_SMALLEST = 1024
"""Smallest tensor in bytes that is moved into the file; small constants such as shapes stay in their graph."""

_ALIGNMENT = 4096
"""Offsets are multiples of it, so that runtimes can map the file into memory (ONNX, ExternalData.md)."""


@final
class SharedTensors:
    """A file of tensors; one that is in it already, from another graph or under another name, is not added again."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / TENSORS_NAME
        self._path.touch()
        self._offsets: dict[bytes, int] = {}

    @property
    def num_bytes(self) -> int:
        """Size of the file."""
        return self._path.stat().st_size

    def take_from(self, model: onnx_ir.Model) -> None:
        """Move the graph's tensors into the file; it then refers to them there."""
        for value in model.graph.initializers.values():
            tensor = value.const_value
            assert tensor is not None
            if tensor.nbytes >= _SMALLEST:
                value.const_value = self._moved(tensor)

    def _moved(self, tensor: onnx_ir.TensorProtocol) -> onnx_ir.ExternalTensor:
        content = tensor.tobytes()
        digest = hashlib.sha256(content).digest()
        if digest not in self._offsets:
            self._offsets[digest] = self._append(content)
        return onnx_ir.ExternalTensor(
            location=TENSORS_NAME,
            offset=self._offsets[digest],
            length=len(content),
            dtype=tensor.dtype,
            shape=onnx_ir.Shape(tensor.shape.numpy()),
            name=tensor.name or "",
            base_dir=self._path.parent,
        )

    def _append(self, content: bytes) -> int:
        with self._path.open("ab") as file:
            file.write(b"\0" * (-file.tell() % _ALIGNMENT))
            offset = file.tell()
            file.write(content)
        return offset
