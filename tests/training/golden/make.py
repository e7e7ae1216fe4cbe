"""Make the run folders of this format: runs of four steps, of which the second step's checkpoint is kept.

python tests/training/golden/make.py FOLDER

Tests resume them and compare with the losses of the steps that were taken off (``expected.jsonl``). They are made by
the first release of a format and never again: later releases have to read them.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

SCENES = "scenes:?count=12&size=16"
SIZES = """
model:
  image_encoder: {image_size: 16, patch_size: 8, width: 8, depth: 2, num_heads: 2}
  text_encoder: {vocab_size: 270, context_length: 16, width: 8, depth: 1, num_heads: 2}
  text_decoder: {depth: 1, num_heads: 2}
  image_decoder: {width: 8, depth: 1, num_heads: 2}
  embed_dim: 4
tokenizer: {vocab_size: 270}
"""
STEPS = [
    "--training.steps=4",
    "--training.global-batch-size=4",
    "--training.save-every=2",
    "--training.log-every=1",
    "--training.no-tensorboard",
    "--training.no-report",
    "--schedule.warmup-steps=1",
    "--runtime.device=cpu",
]


def sycoca(*arguments: str, folder: Path) -> None:
    subprocess.run([sys.executable, "-m", "sycoca", *arguments], cwd=folder, check=True)


def cut(run: Path) -> None:
    """Leave the run as it was after its second step, and what it logged later as what to expect."""
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    logged = [json.loads(line) for line in lines]
    (run / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in logged[:2]), encoding="utf-8")
    for line in logged:
        del line["images_per_second"]
    (run / "expected.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in logged[2:]), encoding="utf-8")
    for name in ("checkpoints/step-00000004", "weights", "log.txt"):
        path = run / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def main(folder: Path) -> None:
    """Make a pretraining and a fine-tuning of every kind below ``folder``."""
    folder.mkdir(parents=True)
    (folder / "sizes.yaml").write_text(SIZES, encoding="utf-8")
    data = ["--data.train", SCENES]
    sycoca("pretrain", "tiny", "--config", "sizes.yaml", *data, *STEPS, "--out", "pretrain", folder=folder)
    shutil.copytree(folder / "pretrain" / "weights", folder / "weights")
    for task in ("retrieval", "vqa", "classification"):
        sycoca("finetune", task, "weights", *data, *STEPS, "--out", task, folder=folder)
    for run in ("pretrain", "retrieval", "vqa", "classification"):
        cut(folder / run)
    (folder / "sizes.yaml").unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
