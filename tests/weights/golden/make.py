"""Write the golden weights of today's format: python tests/weights/golden/make.py, once for every new format.

Each ``format-N/NAME`` holds a weights folder and what its model says. They are never written again: that they go on
loading and saying the same is what test_golden.py is for.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from builders.golden import GOLDEN, golden_predictors, said
from sycoca.weights.config import FORMAT_VERSION
from sycoca.weights.folder import save_weights
from sycoca.weights.plain_config import versioned_plain


def main() -> None:
    """Make the folders. Raises FileExistsError where the format has its own already."""
    for name, predictor in golden_predictors().items():
        if versioned_plain(predictor.config)["format_version"] != FORMAT_VERSION:
            continue  # an older format says it
        folder = GOLDEN / f"format-{FORMAT_VERSION}" / name
        folder.mkdir(parents=True)
        save_weights(folder / "weights", predictor.model, predictor.tokenizer, predictor.config)
        (folder / "expected.json").write_text(json.dumps(said(predictor)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
