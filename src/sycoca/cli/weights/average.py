"""``sycoca average``: average the weights before and after a fine-tuning."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

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

    alpha: float = 0.5
    """Coefficient of AFTER: 0 gives BEFORE, 1 gives AFTER. Tensors that only one of them has are copied."""

    def run(self) -> int:
        """Average; the folder goes to stdout."""
        # Imported here, since they import torch: help and usage errors appear fast.
        from sycoca.weights.average import average_weights
        from sycoca.weights.folder import save_weights
        from sycoca.weights.provenance import Provenance

        if self.out.resolve() in (Path(self.start).resolve(), Path(self.end).resolve()):
            raise ValueError(f"--out {self.out} would replace what is averaged; choose another folder")
        averaged = average_weights(self.start, self.end, alpha=self.alpha)
        summary = f"Weighted mean of two models (WiSE-FT, arXiv 2109.01903): {'; '.join(averaged.summary)}."
        provenance = Provenance(summary=summary, base=self.start, is_mean=True)
        save_weights(self.out, averaged.model, averaged.tokenizer, averaged.config, provenance=provenance)
        logger.info("\n".join(averaged.summary).replace("`", ""))
        print(self.out)
        return 0
