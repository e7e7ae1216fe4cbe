"""``sycoca export``: a model for programs without PyTorch."""

import sys
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportArguments:
    """Write a model as ONNX graphs (float32), with sycoca_onnx.py, a script that captions and embeds by them.

    The script needs numpy, pillow, tokenizers and onnxruntime. At the end random inputs go through PyTorch and
    onnxruntime; where they differ, nothing is written and the exit code is 1. Needs pip install 'sycoca[export]', and
    minutes for a large model.
    """

    weights: Positional[str]
    """A weights folder, or hf:owner/name."""

    out: Path
    """The folder to write; a former export is replaced."""


def run(arguments: list[str]) -> int:
    """Export a model; what is done goes to stderr."""
    import tyro

    options = tyro.cli(ExportArguments, prog="sycoca export", args=arguments, config=(tyro.conf.OmitArgPrefixes,))
    from sycoca.inference.load import load
    from sycoca.inference.onnx_export.requirements import check_requirements

    check_requirements()
    from sycoca.inference.onnx_export.folder import export_onnx

    model = load(options.weights, device="cpu")
    export_onnx(model, options.out, tell=lambda line: print(line, file=sys.stderr))
    print(f"ONNX graphs and sycoca_onnx.py in {options.out}", file=sys.stderr)
    return 0
