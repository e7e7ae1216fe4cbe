"""``data write-shards`` killed at random moments: whole shards only, and the resumed result is the undisturbed one."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sycoca.data.writing.shard_layout import ShardLayout
from sycoca.data.writing.write_shards import write_shards

pytestmark = pytest.mark.slow

KILLS, SHARDS, SAMPLES = 12, 240, 10
NAMES = "[0-9]*.tar"
"""Names of shards; what is being written is hidden."""


def test_killed_and_resumed_packing_writes_the_same_bytes(tmp_path: Path):
    random.seed(0)
    spec = _photos(tmp_path / "photos", SHARDS * SAMPLES)
    layout = ShardLayout(samples_per_shard=SAMPLES, shuffle=1)
    started = time.perf_counter()
    write_shards(spec, tmp_path / "whole", layout, num_workers=2)
    seconds = time.perf_counter() - started
    whole = {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}
    out = tmp_path / "out"
    words = ["data", "write-shards", spec, "--out", str(out), "--samples-per-shard", str(SAMPLES), "--shuffle", "1"]
    command = [sys.executable, "-m", "sycoca", *words, "--num-workers", "2", "--resume"]
    num_killed, seen = 0, 0
    for _ in range(KILLS):
        num_killed += _killed(command, out, random.uniform(0, seconds / KILLS / 4))
        shards = sorted(out.glob(NAMES))
        assert len(shards) >= seen
        seen = len(shards)
        for path in shards:
            assert path.read_bytes() == whole[path.name]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    print(f"killed {num_killed} of {KILLS} times, with {seen} of {SHARDS} shards at the last one")
    assert num_killed > KILLS // 2
    assert {path.name: path.read_bytes() for path in out.iterdir()} == whole
    with tarfile.open(out / "00000.tar") as archive:
        assert len(archive.getmembers()) == 3 * SAMPLES


def _killed(command: list[str], out: Path, seconds: float) -> bool:
    """Kill a command and its workers a while after its first shard; return whether it was still running."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
    before = len(list(out.glob(NAMES)))
    while process.poll() is None and len(list(out.glob(NAMES))) <= before:
        time.sleep(0.005)
    time.sleep(seconds)
    is_running = process.poll() is None
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return is_running


def _photos(folder: Path, count: int) -> str:
    folder.mkdir()
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 255, (200, 300, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.jpg")
    lines = [f'{{"image": "{number}.jpg", "caption": "photo {number}"}}\n' for number in range(count)]
    (folder / "photos.jsonl").write_text("".join(lines))
    return str(folder / "photos.jsonl")
