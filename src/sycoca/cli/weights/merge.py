"""``sycoca merge``: make a whole model of an adapter and its base."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from sycoca.cli.shared.results import print_path
from sycoca.outputs.output import claimed


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Merge an adapter (LoRA) into the weights that it was trained on: a weights folder that needs no other."""

    adapter: Positional[Annotated[str, arg(metavar="ADAPTER")]]
    """The adapter: a folder, or hf:owner/name[@revision]."""

    out: Annotated[Path, arg(metavar="FOLDER")]
    """The weights folder to write."""

    base: Annotated[str | None, arg(metavar="BASE")] = None
    """The weights that the adapter was trained on; None: those that it names."""

    overwrite: bool = False
    """Replace a weights folder that exists."""

    def run(self) -> int:
        """Merge; the folder goes to stdout."""
        # Imported here, since they import torch: help and usage errors appear fast.
        from sycoca.weights.folder import load_adapter, save_weights, weights_output

        inputs = tuple(Path(path) for path in (self.adapter, self.base) if path is not None)
        with claimed(weights_output(self.out, inputs=inputs, overwrite=self.overwrite)):
            loaded = load_adapter(self.adapter, self.base)
            save_weights(self.out, loaded.model, loaded.tokenizer, loaded.config)
        print_path("weights", self.out)
        return 0
