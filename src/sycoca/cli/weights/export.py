"""``sycoca export``: export a model to ONNX."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Export a model to ONNX (float32), with sycoca_onnx.py, a script that captions and embeds without PyTorch.

    The script needs numpy, pillow, tokenizers and onnxruntime. The export is verified: random inputs go through PyTorch
    and onnxruntime; if the outputs differ, nothing is written and the exit code is 1. Needs
    pip install 'sycoca[export]'. A large model takes minutes.
    """

    weights: Positional[str]
    """A weights folder, or hf:owner/name[@revision] on the Hugging Face Hub."""

    out: Annotated[Path, arg(metavar="FOLDER")]
    """The folder to write; an earlier export in it is replaced."""

    def run(self) -> int:
        """Export the model."""
        from sycoca.inference.load import load
        from sycoca.inference.onnx_export.requirements import check_requirements

        check_requirements()
        from sycoca.inference.onnx_export.folder import export_onnx

        model = load(self.weights, device="cpu")
        export_onnx(model, self.out)
        logger.info(f"ONNX graphs and sycoca_onnx.py in {self.out}")
        return 0
