"""The folder of an exported model: graphs, their tensors, and a script that runs them without sycoca."""

import json
import logging
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx_ir
import torch

from sycoca._version import __version__
from sycoca.facts.limit_facts import ABILITIES
from sycoca.inference.embedder import Embedder
from sycoca.inference.onnx_export import sycoca_onnx
from sycoca.inference.onnx_export.check import INT8_TOLERANCE, TOLERANCE, check_graph
from sycoca.inference.onnx_export.graphs import GRAPH_NAMES, Graph, Port, graphs_of
from sycoca.inference.onnx_export.quantization import quantized
from sycoca.inference.onnx_export.readme import readme
from sycoca.inference.onnx_export.tensors import TENSORS_NAME, SharedTensors
from sycoca.inference.onnx_export.translation import translate
from sycoca.outputs.atomic import atomic_folder
from sycoca.outputs.output import Output, claimed
from sycoca.weights.config import CARD_NAME, CONFIG_NAME, TOKENIZER_NAME
from sycoca.weights.limits import why_missing

logger = logging.getLogger(__name__)

SCRIPT_NAME = "sycoca_onnx.py"
_FILE_NAMES = (
    *(f"{name}.onnx" for name in GRAPH_NAMES),
    *(TENSORS_NAME, CONFIG_NAME, TOKENIZER_NAME, SCRIPT_NAME, CARD_NAME),
)


def export_output(folder: Path, inputs: tuple[Path, ...] = (), *, overwrite: bool = False) -> Output:
    """Return the folder of an exported model as an output, which can be checked before a model is loaded."""
    noun = "folder of an exported model"
    return Output(path=folder, kind="folder", names=_FILE_NAMES, noun=noun, inputs=inputs, overwrite=overwrite)


def export_onnx(embedder: Embedder, folder: str | Path, *, int8: bool = False, overwrite: bool = False) -> float:
    """Write a model as ONNX graphs with a script that runs them, atomically.

    Returns the largest difference between the outputs of PyTorch and onnxruntime for random inputs, see `check_graph`.
    ``int8`` writes the matrices in int8, see `quantized`: a quarter of the size, and faster on CPUs. ``overwrite``
    replaces an earlier export. Raises OutputError (a ValueError) where ``folder`` exists or cannot be
    written; ValueError where the difference is too large, and for a model that is not on the CPU in float32.
    """
    folder = Path(folder)
    with claimed(export_output(folder, overwrite=overwrite)):
        _check_exportable(embedder)
        return _write_export(embedder, folder, int8=int8)


def _write_export(embedder: Embedder, folder: Path, *, int8: bool) -> float:
    for caution in cautions_of(embedder):
        logger.warning(caution)
    graphs = graphs_of(embedder.model)
    with atomic_folder(folder) as unfinished:
        tensors = SharedTensors(unfinished)
        for graph in graphs:
            started_at = time.perf_counter()
            model = translate(graph)
            if int8:
                model = quantized(graph, model, unfinished)
            tensors.take_from(model)
            onnx_ir.save(model, unfinished / f"{graph.name}.onnx")
            logger.info(
                f"{graph.name}.onnx: {model.graph.num_nodes()} operations ({time.perf_counter() - started_at:.0f} s)"
            )
        logger.info(f"{TENSORS_NAME}: {tensors.num_bytes / 2**20:,.1f} MiB")
        write_companions(embedder, graphs, unfinished, int8=int8)
        tolerance = INT8_TOLERANCE if int8 else TOLERANCE
        largest = max(check_graph(graph, unfinished / f"{graph.name}.onnx", tolerance) for graph in graphs)
        logger.info(f"largest difference between PyTorch and onnxruntime: {largest:.1g} ({tolerance:g} is allowed)")
    return largest


def _check_exportable(embedder: Embedder) -> None:
    if embedder.model.is_int8:
        raise ValueError('only models in float32 are exported, this one is in int8; load it with dtype="float32"')
    for name, tensor in embedder.model.state_dict().items():
        if tensor.dtype != torch.float32 or tensor.device.type != "cpu":
            raise ValueError(
                f"only models in float32 on the CPU are exported, {name} is {tensor.dtype} on {tensor.device};"
                ' load it with device="cpu", dtype="float32"'
            )


def write_companions(embedder: Embedder, graphs: Sequence[Graph], folder: Path, *, int8: bool = False) -> None:
    """Write all but the graphs and their tensors: tokenizer, config, script and README."""
    embedder.tokenizer.save(folder / TOKENIZER_NAME)
    text = json.dumps(_config(embedder, graphs), indent=2)
    (folder / CONFIG_NAME).write_text(text + "\n", encoding="utf-8")
    shutil.copyfile(Path(__file__).with_name(SCRIPT_NAME), folder / SCRIPT_NAME)
    (folder / CARD_NAME).write_text(readme(graphs, cautions_of(embedder), int8=int8), encoding="utf-8")


def cautions_of(embedder: Embedder) -> list[str]:
    """Return why results of the exported model cannot be relied on; nothing where they can."""
    return list(embedder.cautions(*ABILITIES))


def _config(embedder: Embedder, graphs: Sequence[Graph]) -> dict[str, Any]:
    transforms, special = embedder.config.transforms, embedder.tokenizer.special
    return {
        "format_version": sycoca_onnx.FORMAT_VERSION,
        "sycoca_version": __version__,
        "image_size": embedder.image_size,
        "resize": transforms.resize,
        "mean": transforms.mean,
        "std": transforms.std,
        "context_length": embedder.context_length,
        "pad_id": special.pad_id,
        "bos_id": special.bos_id,
        "eos_id": special.eos_id,
        # Tokenizers that sycoca has trained clean texts by themselves.
        "text_cleaning": "clip_ftfy" if embedder.tokenizer.is_clip else "none",
        "cautions": cautions_of(embedder),
        "no_captions": None if embedder.model.text_decoder else why_missing(embedder.config, "text_decoder"),
        "graphs": {graph.name: {"inputs": _ports(graph.inputs), "outputs": _ports(graph.outputs)} for graph in graphs},
    }


def _ports(ports: Sequence[Port]) -> list[dict[str, Any]]:
    return [{"name": port.name, "shape": port.axes, "dtype": port.dtype} for port in ports]
