"""A run of six steps that has every file a run can have, as it was when a kill interrupted it after five."""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file

from builders.predictors import photo
from builders.starts import MODEL, PIXELS, VOCAB_SIZE
from sycoca.model.masking_config import MaskingConfig
from sycoca.preprocess.config import TokenizerConfig
from sycoca.training.config import DataConfig, OptimizerConfig, RuntimeConfig, ScheduleConfig, TrainingConfig
from sycoca.training.engine.tracking import read_metrics
from sycoca.training.pretrain import pretrain
from sycoca.training.recipes.pretraining.config import PretrainConfig
from sycoca.training.recipes.pretraining.initial_weights_config import InitialWeightsConfig

STEPS = 6
SAVED = (2, 4, 6)

_WORDS = ("a red bird", "two dogs on a beach", "the green field", "a man with a hat", "blue sky", "an old house")


def finished_run(folder: Path) -> Path:
    """Train a run to its end: from weights, with averaged weights, validation, and images that cannot be read."""
    images = folder / "images"
    images.mkdir(parents=True)
    for name, first in (("train", 0), ("validation", 10)):
        rows = []
        for number in range(first, first + 10):
            photo(seed=number).resize((16, 16)).save(images / f"{number}.png")
            rows.append({"image": f"{number}.png", "captions": [_WORDS[number % len(_WORDS)]]})
        rows.append({"image": f"broken-{name}.png", "captions": ["never seen"]})
        (images / f"broken-{name}.png").write_bytes(b"not an image")
        (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    initial = _config(folder, "initial", steps=2)
    weights = pretrain(initial) / "weights"
    run = pretrain(_config(folder, "run", steps=STEPS, weights=weights))
    shutil.rmtree(folder / "initial")  # a resume does not need the initial weights
    with (run / "skipped_steps.jsonl").open("a", encoding="utf-8") as file:
        record = {"step": 2, "reason": "loss spike", "loss": 9.0, "gradient_norm": 1.0, "samples": ["3.png"]}
        file.write(f"{json.dumps(record)}\n")
    return run


def interrupted_run(finished: Path, folder: Path) -> Path:
    """Return a copy of a finished run as it was after its fifth step: resuming does steps 5 and 6."""
    run = folder / "run"
    shutil.copytree(finished, run)
    shutil.rmtree(run / "weights")
    shutil.rmtree(run / "checkpoints" / "step-00000006")
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (run / "metrics.jsonl").write_text("".join(lines[:5]), encoding="utf-8")
    return run


def differences(run: Path, other: Path) -> list[str]:
    """Return the names of the tensors of weights, last model and last optimizer that are not equal bit for bit."""
    found = []
    for name in ("weights", "checkpoints/step-00000006"):
        for path in sorted((run / name).glob("*.safetensors")):
            one, two = load_file(path), load_file(other / name / path.name)
            assert one.keys() == two.keys()
            found += [f"{path.name} {key}" for key in one if not torch.equal(one[key], two[key])]
    return found


def values(run: Path) -> list[dict[str, float | None]]:
    """Return the logged values that do not depend on the clock."""
    return [
        {name: value for name, value in line.items() if name != "images_per_second"}
        for line in read_metrics(run / "metrics.jsonl")
    ]


def _config(folder: Path, name: str, *, steps: int, weights: Path | None = None) -> PretrainConfig:
    return PretrainConfig(
        preset="test",
        out=str(folder / name),
        model=MODEL,
        masking=MaskingConfig(strategy="random"),
        transforms=PIXELS,
        tokenizer=TokenizerConfig(vocab_size=VOCAB_SIZE),
        data=DataConfig(
            train=f"{folder}/train.jsonl?images={folder}/images",
            validation=f"{folder}/validation.jsonl?images={folder}/images",
            max_skipped_ratio=0.5,
            num_workers=0,
        ),
        start=InitialWeightsConfig() if weights is None else InitialWeightsConfig(weights=str(weights)),
        optimizer=OptimizerConfig(peak_lr=1e-2),
        schedule=ScheduleConfig(warmup_steps=2),
        training=TrainingConfig(
            steps=steps,
            global_batch_size=4,
            log_every=1,
            save_every=2,
            evaluate_every=4,
            keep_checkpoints=9,
            average_decay=0.9,
            tensorboard=False,
            report=False,
        ),
        runtime=RuntimeConfig(device="cpu"),
    )
