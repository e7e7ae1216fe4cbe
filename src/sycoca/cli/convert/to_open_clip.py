"""``sycoca convert to-open-clip``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from sycoca.cli.convert.summary import show_conversion


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Convert a weights folder to a checkpoint of open_clip with its JSON config."""

    weights: Positional[str]
    """A weights folder, or hf:owner/name[@revision] on the Hugging Face Hub."""

    out: Annotated[Path, arg(metavar="FILE|FOLDER")]
    """A .safetensors or .pt file, beside which the config is written as .json; or a folder, which open_clip loads as
    local-dir:FOLDER."""

    overwrite: bool = False
    """Replace what exists there."""

    def run(self) -> int:
        """Convert, and print a summary."""
        from sycoca.weights.conversion.convert import open_clip_outputs, to_open_clip
        from sycoca.weights.hub import local_weights

        # Before weights are downloaded.
        for output in open_clip_outputs(self.out, Path(self.weights), overwrite=self.overwrite):
            output.check()
        conversion = to_open_clip(local_weights(self.weights), self.out, overwrite=self.overwrite)
        show_conversion(conversion, self.out, (), noun="checkpoint of open_clip")
        return 0
