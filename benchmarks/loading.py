"""The time of loading weights with and without comparing them with their manifest, alternating.

Random weights of a preset's size are written to a temporary folder, so that the file is in the page cache. A load
alone only maps the file; a forward pass reads all of it.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from PIL import Image

import sycoca
from sycoca.model.masking_config import MaskingConfig
from sycoca.model.sycoca import SyCoCa
from sycoca.preprocess.tokenizer import Tokenizer
from sycoca.presets.pretrain import PRESETS
from sycoca.training.recipes.pretraining.config import resolved_model_config
from sycoca.weights.config import TENSORS_NAME, WeightsConfig
from sycoca.weights.folder import save_weights


def main() -> None:
    """Measure and print medians with quartiles."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="vit_b32", choices=tuple(PRESETS))
    parser.add_argument("--pairs", type=int, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        weights = _written(Path(folder) / "weights", options.preset)
        size = (weights / TENSORS_NAME).stat().st_size
        seconds: dict[tuple[str, bool], list[float]] = {}
        for pair in range(options.pairs + 1):  # the first is not counted
            for verify in (True, False):
                for name, took in _load(weights, verify).items():
                    seconds.setdefault((name, verify), []).extend([took] if pair else [])
    print(f"{options.preset}, {size / 1e6:,.0f} MB, {options.pairs} pairs:")
    for (name, verify), took in seconds.items():
        low, median, high = statistics.quantiles(took, n=4)
        print(f"  {name}, verify={verify}: {median:.2f} s (quartiles {low:.2f} to {high:.2f})")


def _written(folder: Path, preset: str) -> Path:
    config, tokenizer = PRESETS[preset](), Tokenizer.clip(pad="own")
    model = SyCoCa(resolved_model_config(config, tokenizer.vocab_size))
    weights = WeightsConfig(model=model.config, masking=MaskingConfig(), transforms=config.transforms)
    save_weights(folder, model, tokenizer, weights)
    return folder


def _load(weights: Path, verify: bool) -> dict[str, float]:
    started = time.perf_counter()
    predictor = sycoca.load(weights, device="cpu", verify=verify)
    loaded = time.perf_counter()
    side = predictor.config.model.image_encoder.image_size
    predictor.caption([Image.new("RGB", (side, side))], max_tokens=2)
    return {"loaded": loaded - started, "loaded and one image captioned": time.perf_counter() - started}


if __name__ == "__main__":
    main()
