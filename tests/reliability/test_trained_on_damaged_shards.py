"""Training on shards of which one sample in a hundred is damaged in each of many ways: nothing is lost but these."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from builders.damaged_shards import DAMAGES, write_damaged_set

pytestmark = pytest.mark.slow

NUM_SHARDS, NUM_SAMPLES, BATCH = 6, 500, 64
TOTAL = NUM_SHARDS * NUM_SAMPLES


def test_one_percent_of_each_kind_of_damage_is_named(tmp_path: Path):
    reasons = write_damaged_set(
        tmp_path / "set", num_shards=NUM_SHARDS, num_samples=NUM_SAMPLES, number_each=TOTAL // 100
    )
    steps = TOTAL // BATCH + 1  # a little more than an epoch, so that every sample is read
    words = ["pretrain", "tiny", "--out", str(tmp_path / "run"), "--data.train", f"shards:{tmp_path}/set/*.tar"]
    words += ["--data.num-workers", "2", "--training.steps", str(steps), "--training.global-batch-size", str(BATCH)]
    started = time.perf_counter()
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "home")}
    done = subprocess.run([sys.executable, "-m", "sycoca", *words], env=environment, capture_output=True, text=True)
    seconds = time.perf_counter() - started
    assert done.returncode == 0, done.stderr
    skipped = (tmp_path / "run" / "skipped.jsonl").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in skipped.splitlines()]
    print(
        f"{len(reasons):,} of {TOTAL:,} samples damaged in {len(DAMAGES) + 1} ways: {len(lines):,} named,"
        f" {seconds:.0f} s"
    )
    assert {line["name"]: line["reason"] for line in lines} == reasons
    assert len(lines) == len(reasons)
