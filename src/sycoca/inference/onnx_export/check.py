"""Comparison of an exported graph in onnxruntime with its module in PyTorch."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from sycoca.inference.onnx_export.graphs import Graph, Port

TOLERANCE = 1e-4
"""Largest difference, relative to an output's largest value, or absolute where that is below 1.

Of L2-normalized vectors it is half of the largest distance, which is 0.7 for vectors that have nothing in common: each
of their values is so small that the values of any other vector differ by less than 0.25.
"""

INT8_TOLERANCE = 0.25
"""The same of a graph in int8 against the module in float32: what a wrong graph would exceed."""


def check_graph(graph: Graph, file: Path, tolerance: float) -> float:
    """Run random inputs of several sizes through both and return the largest difference, measured as `TOLERANCE`.

    Raises ValueError where it is larger than ``tolerance``.
    """
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    largest = 0.0
    for seed, sizes in enumerate(_sizes(graph)):
        inputs = graph.draw_inputs(sizes, torch.Generator().manual_seed(seed))
        with torch.no_grad():
            expected = graph.module(inputs)
        given = {port.name: values.numpy() for port, values in zip(graph.inputs, inputs, strict=True)}
        results = session.run([port.name for port in graph.outputs], given)
        for port, own, found in zip(graph.outputs, expected, results, strict=True):
            difference = _difference(port, own.numpy(), np.asarray(found))
            if not difference <= tolerance:  # in this form NaN fails, too
                raise ValueError(
                    f"{graph.name}.onnx is not the model: its {port.name} differs by {difference:.2g} where"
                    f" {tolerance:g} is allowed; report this with the versions of torch and onnxruntime"
                    f" ({onnxruntime.__version__})"
                )
            largest = max(largest, difference)
    return largest


def _sizes(graph: Graph) -> Iterator[dict[str, int]]:
    """Yield lengths of axes: the shortest, one in between, the longest."""
    tokens, past = graph.longest.get("tokens", 2), graph.longest.get("past", 0)
    yield {"batch": 1, "tokens": 2, "past": 0}
    yield {"batch": 3, "tokens": (tokens + 2) // 2, "past": past // 2}
    yield {"batch": 2, "tokens": tokens, "past": past}


def _difference(port: Port, expected: np.ndarray, found: np.ndarray) -> float:
    if expected.shape != found.shape:
        return float("inf")
    if port.is_normalized:
        return float(np.linalg.norm(expected - found, axis=-1).max() / 2)
    return float(np.abs(expected - found).max() / max(1.0, np.abs(expected).max()))
