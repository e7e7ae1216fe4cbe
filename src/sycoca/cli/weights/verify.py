"""``sycoca verify``: verify a weights folder, or renew its manifest."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from sycoca.cli.shared.results import typed
from sycoca.cli.shared.usage import UsageError


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Verify weights: files as in the manifest (size, SHA-256), tensors as in the config, all values finite."""

    weights: Positional[Annotated[str, arg(metavar="WEIGHTS")]]
    """A weights folder, or hf:owner/name[@revision] on the Hugging Face Hub."""

    renew: bool = False
    """Write a new manifest, for a folder whose files were edited on purpose. The rest is still verified."""

    def run(self) -> int:
        """Verify; one line on stdout says what was found."""
        # Imported here, since they import torch: help and usage errors appear fast.
        from sycoca.weights.hub import is_at_hub, local_weights
        from sycoca.weights.verification import renew_manifest, verify_weights

        if self.renew and is_at_hub(self.weights):
            raise UsageError(f"--renew needs a local folder, {self.weights} is on the Hugging Face Hub")
        folder = local_weights(self.weights)
        found = renew_manifest(folder) if self.renew else verify_weights(folder)
        named = self.weights if is_at_hub(self.weights) else typed(Path(self.weights))
        compared = "as in its new manifest" if self.renew else "as in its manifest"
        without = f"no manifest to compare with; sycoca verify {named} --renew adds one"
        print(
            f"{named}: {found.num_parameters:,} parameters, all finite; {compared if found.has_manifest else without}"
        )
        return 0
