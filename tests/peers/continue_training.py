"""Continued training of a converted model with all three objectives, whose result is loaded in open_clip.

    make parity-training DATA="captions.jsonl?images=photos&split=train"

Takes coca_ViT-B-32 with random weights, and runs the commands that users type. Exit code 1 if a loss does not decrease
or a tensor does not fit.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import mean

import importable_torchvision  # noqa: F401 (first)
import open_clip
import torch
import yaml
from open_clip_peers import model_json, open_clip_peer
from safetensors.torch import load_file

MODEL, PRESET = "coca_ViT-B-32", "vit_b32"
LOSSES = ("contrastive", "captioning", "masked_image")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="SPEC of pairs to train on")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--peak-lr", type=float, default=1e-4)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        torch.save({"state_dict": open_clip_peer(model_json(MODEL), seed=1).state_dict()}, folder / "peer.pt")
        _sycoca("convert", "from-open-clip", folder / "peer.pt", "--out", folder / "weights")
        flags = {
            "start.weights": folder / "weights",
            "data.train": options.data,
            "out": folder / "run",
            "training.steps": options.steps,
            "training.global-batch-size": options.batch_size,
            "training.log-every": 1,
            "optimizer.peak-lr": options.peak_lr,
            "schedule.warmup-steps": options.steps // 10,
        }
        given = [f"--{name}={value}" for name, value in flags.items()]
        _sycoca("pretrain", PRESET, "--data.validation", "None", *given)
        _sycoca("convert", "to-open-clip", folder / "run" / "weights", "--out", folder / "back.safetensors")
        are_falling, fits = _all_fall(folder / "run"), _fits(folder / "back.safetensors")
    return int(not (are_falling and fits))


def _sycoca(*arguments: object) -> None:
    subprocess.run([Path(sys.executable).with_name("sycoca"), *map(str, arguments)], check=True)


def _all_fall(run: Path) -> bool:
    """Print means over the first and the last fifth of the steps; return whether each, and their sum, is less."""
    weights = yaml.safe_load((run / "config.yaml").read_text())["objectives"]
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        line["sum"] = sum(weights[f"{name}_weight"] * line[name] for name in LOSSES)
    fifth, are_falling = len(lines) // 5, True
    for name in (*LOSSES, "sum"):
        first, last = (mean(line[name] for line in part) for part in (lines[:fifth], lines[-fifth:]))
        print(f"{name}: {first:.3f} in the first {fifth} of {len(lines)} steps, {last:.3f} in the last {fifth}")
        are_falling &= last < first
    return are_falling


def _fits(file: Path) -> bool:
    """Print and return whether open_clip loads the file, and its model has just the file's tensors."""
    model = open_clip.create_model(MODEL, pretrained=str(file))
    tensors = load_file(file)
    found = model.load_state_dict(tensors, strict=False)
    same = sum(torch.equal(tensor, tensors[name]) for name, tensor in model.state_dict().items())
    missing, unexpected = len(found.missing_keys), len(found.unexpected_keys)
    print(f"open_clip: {missing} missing, {unexpected} unexpected, {same} of {len(tensors)} tensors equal")
    return missing == unexpected == 0 and same == len(tensors)


if __name__ == "__main__":
    sys.exit(main())
