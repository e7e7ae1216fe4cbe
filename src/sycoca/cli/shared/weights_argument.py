"""The weights that a command names: a folder, or a place at the Hugging Face Hub."""

import sys
from pathlib import Path


def fetched(weights: str) -> Path:
    """Return the folder; of what lies at the Hub, stderr says that it is fetched."""
    from sycoca.weights.hub import local_weights

    return local_weights(weights, lambda line: print(line, file=sys.stderr))
