"""``sycoca export``: export a model to ONNX."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from sycoca.cli.shared.results import tell


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Export a model to ONNX, with sycoca_onnx.py, a script that captions and embeds without PyTorch.

    The script needs numpy, pillow, tokenizers and onnxruntime. The export is verified: random inputs go through PyTorch
    and onnxruntime; if the outputs differ, nothing is written and the exit code is 1. Needs
    pip install 'sycoca[export]'. A large model takes minutes.
    """

    weights: Positional[str]
    """A weights folder, or hf:owner/name[@revision] on the Hugging Face Hub."""

    out: Annotated[Path, arg(metavar="FOLDER")]
    """The folder to write."""

    int8: bool = False
    """Write matrices in int8, the rest in float32: a quarter of the size, faster on CPUs; results change a little."""

    overwrite: bool = False
    """Replace an earlier export."""

    def run(self) -> int:
        """Export the model."""
        from sycoca.inference.load import load
        from sycoca.inference.onnx_export.requirements import check_requirements

        check_requirements()
        from sycoca.inference.onnx_export.folder import export_onnx, export_output

        export_output(self.out, (Path(self.weights),), overwrite=self.overwrite).check()
        model = load(self.weights, device="cpu")
        export_onnx(model, self.out, int8=self.int8, overwrite=self.overwrite)
        tell("ONNX graphs and sycoca_onnx.py", self.out)
        return 0
