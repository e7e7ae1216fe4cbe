"""Memory and open files over 4,000 steps of a run with loader workers: the slope over steps, with its interval."""

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")]

STEPS = 8500
NUM_WORKERS = 2
WARM_UP = 4500
"""Steps after which memory stays: until then caches fill, and freed memory that is kept becomes fragmented. That ends
after 2,500 steps, or some hundred later, by how the threads take turns."""

LARGEST_GROWTH = 0.25
"""Upper end of the interval, in mebibytes per 1,000 steps; records that were once kept in memory took 2.6."""

PROGRAM = f"""
import sys
from sycoca.model.config import *
from sycoca.presets.pretrain import tiny
from sycoca.training.config import DataConfig, RuntimeConfig, TrainingConfig
from sycoca.training.pretrain import pretrain
from dataclasses import replace
model = SyCoCaConfig(
    image_encoder=ImageEncoderConfig(image_size=16, patch_size=4, width=16, depth=2, num_heads=2),
    text_encoder=TextEncoderConfig(vocab_size=300, context_length=24, width=16, depth=2, num_heads=2),
    text_decoder=TextDecoderConfig(depth=2, num_heads=2),
    image_decoder=ImageDecoderConfig(width=16, depth=2, num_heads=2),
    embed_dim=8,
)
pretrain(replace(
    tiny(), out=sys.argv[1], model=model,
    tokenizer=replace(tiny().tokenizer, vocab_size=300),
    data=DataConfig(train="scenes:?count=64&size=16", validation="scenes:?count=16&size=16", num_workers={NUM_WORKERS}),
    training=TrainingConfig(
        steps={STEPS}, global_batch_size=8, log_every=1, evaluate_every=50, save_every=50, report=False
    ),
    runtime=RuntimeConfig(device="cpu"),
))
"""


def children_of(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children]


def anonymous_bytes(pid: int) -> int:
    """Return the private memory of a process; pages of files, which the system may drop, do not count."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"process {pid} has ended")


def steps_done(run: Path) -> int:
    try:
        with (run / "metrics.jsonl").open("rb") as file:
            file.seek(-min(4000, os.fstat(file.fileno()).st_size), os.SEEK_END)
            return json.loads(file.read().splitlines()[-1])["step"]
    except (OSError, ValueError, IndexError):
        return 0


def sample(pid: int, run: Path) -> tuple[int, float, float, int] | None:
    """Return the step, the mebibytes of the main process and of its workers, and all open files.

    None unless all workers are there: they end before the main process does.
    """
    try:
        workers = children_of(pid)
        if len(workers) != NUM_WORKERS:
            return None
        files = sum(len(os.listdir(f"/proc/{one}/fd")) for one in (pid, *workers))
        return (
            steps_done(run),
            anonymous_bytes(pid) / 2**20,
            sum(map(anonymous_bytes, workers)) / 2**20,
            files,
        )
    except (OSError, ValueError):
        return None


def slope(steps: Sequence[float], values: Sequence[float], num_blocks: int = 20) -> tuple[float, float]:
    """Return the slope per 1,000 steps and half of its 95 % interval, from means of blocks, which hardly correlate."""
    blocks = np.array_split(np.argsort(steps), num_blocks)
    x = np.array([np.mean(np.take(steps, block)) for block in blocks]) / 1000
    y = np.array([np.mean(np.take(values, block)) for block in blocks])
    centered = x - x.mean()
    rate = float(centered @ y / (centered @ centered))
    rest = y - y.mean() - rate * centered
    error = math.sqrt(float(rest @ rest) / (num_blocks - 2) / float(centered @ centered))
    return rate, 2.1 * error


def test_neither_memory_nor_open_files_grow(tmp_path: Path):
    run = tmp_path / "run"
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(run)], stderr=subprocess.PIPE, text=True)
    samples = []
    while process.poll() is None:
        found = sample(process.pid, run)
        if found is not None and WARM_UP < found[0] < STEPS:
            samples.append(found)
        time.sleep(0.05)
    _, error = process.communicate()
    assert process.returncode == 0, error
    assert len(samples) > 100
    steps, main, workers, files = zip(*samples, strict=True)
    found = {"main process, MiB": slope(steps, main), "workers, MiB": slope(steps, workers)}
    found["open files"] = slope(steps, files)
    for name, (rate, half) in found.items():
        print(f"{name} per 1,000 steps: {rate:+.3f} ({rate - half:+.3f} to {rate + half:+.3f})")
    for name in ("main process, MiB", "workers, MiB"):
        rate, half = found[name]
        assert rate + half < LARGEST_GROWTH, name
    assert found["open files"][0] - found["open files"][1] <= 0
