"""``sycoca convert to-open-clip``."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from sycoca.cli.convert.summary import show_conversion


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Write a model as open_clip has it: a checkpoint and its JSON config."""

    weights: Positional[str]
    """A weights folder, or hf:owner/name[@revision] at the Hugging Face Hub."""

    out: Path
    """A file that ends with .safetensors or .pt, beside which its config gets the ending .json; or a folder, which
    open_clip loads as local-dir:FOLDER."""

    def convert(self) -> None:
        """Convert, and say what became of what."""
        from sycoca.weights.conversion.convert import to_open_clip
        from sycoca.weights.hub import local_weights

        show_conversion(to_open_clip(local_weights(self.weights), self.out), self.out, ())
