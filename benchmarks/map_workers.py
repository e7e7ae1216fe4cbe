"""How much faster two workers of ``sycoca map caption`` are than one, with one thread each.

Random weights of the preset ``tiny`` caption generated scenes. Time is counted from the first file to the last, so
without the loading of the model. Meaningful on a machine that does nothing else.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from sycoca.data.scenes.source import ScenesSource
from sycoca.model.sycoca import SyCoCa
from sycoca.preprocess.tokenizer import Tokenizer
from sycoca.presets.pretrain import pretrain_preset
from sycoca.training.recipes.pretraining.config import resolved_model_config
from sycoca.weights.config import WeightsConfig
from sycoca.weights.folder import save_weights

ROUNDS = 3


def tiny_weights(folder: Path) -> Path:
    """Write random weights of the preset ``tiny``."""
    config = pretrain_preset("tiny")
    scenes = ScenesSource(count=200)
    captions = [caption for index in range(len(scenes)) for caption in scenes[index].captions]
    tokenizer = Tokenizer.train(captions, config.tokenizer)
    model = resolved_model_config(config, tokenizer.vocab_size)
    weights = WeightsConfig(model=model, masking=config.masking, transforms=config.transforms)
    save_weights(folder, SyCoCa(model).eval(), tokenizer, weights)
    return folder


def seconds_per_file(weights: Path, out: Path, num_workers: int) -> float:
    """Return the seconds between two files, on average, of so many workers that are started together."""
    words = ["map", "caption", str(weights), "scenes:?count=960&size=48", "--out", str(out), "--quiet"]
    words += ["--block-size", "16", "--batch-size", "16", "--device", "cpu", "--threads", "1"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    workers = [subprocess.Popen([sys.executable, "-m", "sycoca", *words], env=environment) for _ in range(num_workers)]
    assert [worker.wait() for worker in workers] == [0] * num_workers
    times = sorted(path.stat().st_mtime for path in out.glob("0*.jsonl"))
    first = num_workers  # by then all workers have begun
    return (times[-1] - times[first]) / (len(times) - 1 - first)


def main() -> None:
    """Print the times of one and of two workers, alternately, and their ratio."""
    with tempfile.TemporaryDirectory() as folder:
        weights, ratios = tiny_weights(Path(folder) / "weights"), []
        for number in range(ROUNDS):
            one, two = (seconds_per_file(weights, Path(folder) / f"{number}-{count}", count) for count in (1, 2))
            ratios.append(two / one)
            print(f"one worker {one:.3f} s a file, two {two:.3f} s: {two / one:.2f}", flush=True)
        load = os.getloadavg()[0]
        print(f"median of {ROUNDS}: {statistics.median(ratios):.2f}; load average at the end {load:.1f}")


if __name__ == "__main__":
    main()
