"""Matrices of exported graphs in int8, by onnxruntime (dynamic quantization)."""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx_ir
from onnxruntime.quantization import QuantType, quantize_dynamic

from sycoca.inference.onnx_export.check import TOLERANCE, check_graph
from sycoca.inference.onnx_export.graphs import Graph

_MATRIX_PRODUCTS = ["MatMul", "Gemm"]


def quantized(graph: Graph, model: onnx_ir.Model, folder: Path) -> onnx_ir.Model:
    """Return the graph with constant factors of matrix products in int8, with a scale per column.

    The other factors are quantized in every product, with one scale for all of them. ``folder`` takes temporary files.
    Raises ValueError where the graph is not the module's before that, see `check_graph`.
    """
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        plain, int8 = (Path(temporary) / f"{name}.onnx" for name in ("float32", "int8"))
        onnx_ir.save(model, plain, external_data="float32.bin")
        check_graph(graph, plain, TOLERANCE)
        with _without_advice():
            quantize_dynamic(
                plain,
                int8,
                op_types_to_quantize=_MATRIX_PRODUCTS,
                per_channel=True,
                weight_type=QuantType.QInt8,
                use_external_data_format=True,  # protobuf has no files of 2 GB or more
            )
        return onnx_ir.external_data.load_to_model(onnx_ir.load(int8))


@contextmanager
def _without_advice() -> Iterator[None]:
    """Suppress the advice to prepare graphs, which is for convolutions."""
    root, handler = logging.getLogger(), logging.NullHandler()
    root.addFilter(_is_no_advice)
    root.addHandler(handler)  # without any, `logging.warning` would add one that prints what every logger says
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.removeFilter(_is_no_advice)


def _is_no_advice(record: logging.LogRecord) -> bool:
    return "run pre-processing before quantization" not in record.getMessage()
