"""``sycoca average``: weights between those before and after a fine-tuning."""

import sys
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional


@dataclass(frozen=True, kw_only=True, slots=True)
class AverageArguments:
    """Average the weights before and after a fine-tuning, which keeps most of what both can do (WiSE-FT)."""

    start: Positional[str]
    """The weights that the fine-tuning began with: a folder, or hf:owner/name."""

    end: Positional[str]
    """Those that it ended with."""

    out: Path
    """The weights folder to write."""

    alpha: float = 0.5
    """How much of the end: 0 gives the start, 1 the end; what one of the two lacks is taken from the other as it is."""


def run(arguments: list[str]) -> int:
    """Write the mean; its folder goes to stdout, what it is made of to stderr."""
    import tyro

    options = tyro.cli(AverageArguments, prog="sycoca average", args=arguments)
    # Only now, since these import torch: help and mistakes answer at once.
    from sycoca.weights.average import average_weights
    from sycoca.weights.folder import save_weights
    from sycoca.weights.provenance import Provenance

    if options.out.resolve() in (Path(options.start).resolve(), Path(options.end).resolve()):
        raise ValueError(f"--out {options.out} would replace what is averaged; choose another folder")
    averaged = average_weights(options.start, options.end, alpha=options.alpha)
    summary = f"Weighted mean of two models (WiSE-FT, arXiv 2109.01903): {'; '.join(averaged.summary)}."
    provenance = Provenance(summary=summary, base=options.start, is_mean=True)
    save_weights(options.out, averaged.model, averaged.tokenizer, averaged.config, provenance=provenance)
    print("\n".join(averaged.summary).replace("`", ""), file=sys.stderr)
    print(options.out)
    return 0
