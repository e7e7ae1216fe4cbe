"""From a graph's module to ONNX, by PyTorch's exporter."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import onnx_ir
import torch
from onnx_ir.passes.common import ClearMetadataAndDocStringPass
from torch.export import Dim

from sycoca.inference.onnx_export.graphs import Graph, Port

OPSET_VERSION = 23
"""The first version with an attention operator. Later ones add nothing that is used here and need newer runtimes."""

_EXAMPLE_SIZES = {"batch": 2, "tokens": 5, "past": 4}
"""Lengths to trace with; 0 and 1 would become constants."""

_REGISTRATION_LOGGER = logging.getLogger("torch.onnx._internal.exporter._registration")


def translate(graph: Graph) -> onnx_ir.Model:
    """Return the graph in ONNX.

    Takes a second or more per block, since every operation is traced with the lengths of axes as symbols.
    """
    inputs = graph.draw_inputs(_EXAMPLE_SIZES, torch.Generator().manual_seed(0))
    dims = {name: Dim(name, max=graph.longest.get(name)) for name in _EXAMPLE_SIZES}
    with torch.no_grad(), _without_remarks():
        program = torch.onnx.export(
            graph.module,
            (inputs,),
            dynamo=True,
            opset_version=OPSET_VERSION,
            input_names=[port.name for port in graph.inputs],
            output_names=[port.name for port in graph.outputs],
            dynamic_shapes=([_dynamic_shape(port, dims) for port in graph.inputs],),
            verbose=False,
        )
    assert program is not None
    # The exporter records for every operation the source files and lines of this machine.
    ClearMetadataAndDocStringPass()(program.model)
    return program.model


def _dynamic_shape(port: Port, dims: dict[str, Any]) -> dict[int, Any]:
    return {place: dims[axis] for place, axis in enumerate(port.axes) if isinstance(axis, str)}


@contextmanager
def _without_remarks() -> Iterator[None]:
    """Suppress warnings of PyTorch's exporter that users cannot act on."""
    _REGISTRATION_LOGGER.addFilter(_is_not_about_torchvision)
    try:
        with warnings.catch_warnings():
            # PyTorch's exporter uses what its trees deprecate, and an axis's name occurs at several inputs.
            warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)
            warnings.filterwarnings("ignore", "# The axis name: .* shares the same shape constraints", UserWarning)
            yield
    finally:
        _REGISTRATION_LOGGER.removeFilter(_is_not_about_torchvision)


def _is_not_about_torchvision(record: logging.LogRecord) -> bool:
    return "torchvision is not installed" not in record.getMessage()
