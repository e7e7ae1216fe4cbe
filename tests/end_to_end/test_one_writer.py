"""Two processes on one output, and processes that are killed: real ones, with the commands of users."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from builders.predictors import save_small_weights

SHORT = ["--data.train", "scenes:?count=8&size=16", "--training.global-batch-size", "4", "--runtime.device", "cpu"]
CHANGES = ["--data.num-workers", "0", "--training.no-report", "--training.log-every", "1"]
LONG = ["pretrain", "tiny", *SHORT, *CHANGES, "--training.steps", "100000", "--training.save-every", "2"]


def started(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "sycoca", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"COLUMNS": ""},
    )


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def end_of(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Return exit code and the last line on stderr."""
    _, error = process.communicate(timeout=120)
    return process.returncode, error.rstrip("\n").rpartition("\n")[2]


@pytest.mark.slow
def test_a_run_is_trained_by_one_process_and_resumed_at_once_when_that_is_killed(tmp_path: Path):
    run = tmp_path / "run"
    first = started(*LONG, "--out", str(run))
    wait_for(run / "checkpoints" / "step-00000002", first)
    refused = rf"sycoca pretrain: {run} is being written by process {first.pid} on .*; wait for it, or choose another"
    code, line = end_of(started("pretrain", "--resume", str(run)))
    assert (code, bool(re.match(refused, line))) == (2, True), line
    code, line = end_of(started(*LONG, "--out", str(run)))
    assert (code, "already holds a run; resume it with" in line) == (2, True), line
    first.kill()
    first.communicate()
    assert (run / ".lease").exists()
    second = started("pretrain", "--resume", str(run))
    newest = max(json.loads(text)["step"] for text in (run / "metrics.jsonl").read_text().splitlines()[:-1])
    wait_for(run / "checkpoints" / f"step-{newest + 4 - newest % 2:08d}", second)
    second.send_signal(signal.SIGINT)
    _, said = second.communicate(timeout=120)
    assert second.returncode == 130
    assert said.endswith(f"resume with:\n  sycoca pretrain --resume {run}\n")
    assert f"{run}: taken over from process {first.pid} on" in said
    assert not (run / ".lease").exists()
    steps = [json.loads(text)["step"] for text in (run / "metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(1, len(steps) + 1))


@pytest.mark.slow
def test_of_two_commands_on_one_file_one_writes(tmp_path: Path):
    weights, out = save_small_weights(tmp_path / "weights"), tmp_path / "out.jsonl"
    words = ["caption", str(weights), "scenes:?count=60&size=16", "--out", str(out), "--batch-size", "1"]
    both = [started(*words) for _ in range(2)]
    ends = sorted(map(end_of, both))
    assert [code for code, _ in ends] == [0, 2]
    assert ends[0][1] == f"60 captions in {out}"
    assert re.search(r"out\.jsonl is (being written by process \d+ on|there already)", ends[1][1])
    names = [json.loads(line)["image"] for line in out.read_text().splitlines()]
    assert len(set(names)) == len(names) == 60
    assert sorted(os.listdir(tmp_path)) == ["out.jsonl", "weights"]


@pytest.mark.slow
def test_an_interrupted_command_says_how_to_go_on(tmp_path: Path):
    weights, out = save_small_weights(tmp_path / "weights"), tmp_path / "my out.jsonl"
    words = ["caption", str(weights), "scenes:?count=3000&size=16", "--out", str(out), "--batch-size", "1"]
    process = started(*words)
    wait_for(out, process)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    command = f"sycoca caption {weights} 'scenes:?count=3000&size=16' --out '{out}' --batch-size 1 --resume"
    assert process.returncode == 130
    assert said.endswith(f"sycoca caption: interrupted; {out} has what was done; resume with:\n  {command}\n")
    done = out.read_bytes()
    process = started(*words, "--resume")
    deadline = time.monotonic() + 120
    while out.stat().st_size == len(done):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    process.communicate()
    assert out.read_bytes().startswith(done)
    names = [json.loads(line)["image"] for line in out.read_bytes().split(b"\n")[:-1]]
    assert len(set(names)) == len(names)
