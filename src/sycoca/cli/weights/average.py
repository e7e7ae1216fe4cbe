"""``sycoca average``: average the weights before and after a fine-tuning."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from sycoca.cli.shared.results import print_path
from sycoca.outputs.output import claimed

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """Average the weights before and after a fine-tuning: keeps most of the abilities of both (WiSE-FT)."""

    start: Positional[Annotated[str, arg(metavar="BEFORE")]]
    """The weights before the fine-tuning: a weights folder, or hf:owner/name[@revision]."""

    end: Positional[Annotated[str, arg(metavar="AFTER")]]
    """The weights after it."""

    out: Annotated[Path, arg(metavar="FOLDER")]
    """The weights folder to write."""

    overwrite: bool = False
    """Replace a weights folder that exists."""

    alpha: float = 0.5
    """Coefficient of AFTER: 0 gives BEFORE, 1 gives AFTER. Tensors that only one of them has are copied."""

    def run(self) -> int:
        """Average; the folder goes to stdout."""
        # Imported here, since they import torch: help and usage errors appear fast.
        from sycoca.weights.average import average_weights
        from sycoca.weights.folder import save_weights, weights_output
        from sycoca.weights.provenance import Provenance

        inputs = (Path(self.start), Path(self.end))
        with claimed(weights_output(self.out, inputs=inputs, overwrite=self.overwrite)):
            averaged = average_weights(self.start, self.end, alpha=self.alpha)
            summary = f"Weighted mean of two models (WiSE-FT, arXiv 2109.01903): {'; '.join(averaged.summary)}."
            provenance = Provenance(summary=summary, base=self.start)
            save_weights(self.out, averaged.model, averaged.tokenizer, averaged.config, provenance=provenance)
        logger.info("\n".join(averaged.summary).replace("`", ""))
        print_path("weights", self.out)
        return 0
