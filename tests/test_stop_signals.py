"""Signals to stop a command: each with its exit code, wherever it arrives."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from builders.predictors import save_small_weights
from sycoca.stop_signals import REQUEUE_CODE, STOP_SIGNALS, Stopped, handled, handlers_kept, raise_stopped

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129, signal.SIGUSR1: REQUEUE_CODE}

RUN = [
    *("pretrain", "tiny", "--data.train", "scenes:?count=8&size=16", "--data.validation", "None"),
    *("--data.num-workers", "0", "--training.global-batch-size", "4", "--runtime.device", "cpu"),
    *("--training.log-every", "1", "--training.steps", "100000", "--training.no-report"),
]


def started(*words: str, **options: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "sycoca", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def wait_for(path: Path, process: subprocess.Popen[str], num_lines: int = 1) -> None:
    deadline = time.monotonic() + 120
    while not path.exists() or len(path.read_bytes().splitlines()) < num_lines:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_codes_are_those_of_the_documents():
    assert {number: facts.exit_code for number, facts in STOP_SIGNALS.items()} == CODES
    text = Path("docs/reliability.md").read_text("utf-8")
    for number, code in CODES.items():
        assert f"| `{signal.Signals(number).name}` | {code} |" in text


def test_old_handlers_come_back_and_ignored_signals_stay_ignored():
    before = {number: signal.getsignal(number) for number in CODES}
    ignored = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with handled(raise_stopped):
            os.kill(os.getpid(), signal.SIGHUP)
            with pytest.raises(Stopped, match="SIGUSR1"):
                os.kill(os.getpid(), signal.SIGUSR1)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, ignored)
    assert {number: signal.getsignal(number) for number in CODES} == before


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGUSR1, marks=pytest.mark.slow)])
def test_a_run_saves_and_exits_with_the_code_of_the_signal(tmp_path: Path, number: signal.Signals):
    stop_and_resume(tmp_path, number)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_so_do_the_other_signals(tmp_path: Path, number: signal.Signals):
    stop_and_resume(tmp_path, number)


def stop_and_resume(folder: Path, number: signal.Signals) -> None:
    run = folder / "run"
    process = started(*RUN, "--out", str(run))
    wait_for(run / "metrics.jsonl", process, 3)
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == CODES[number], error
    *_, said, command = error.splitlines()
    last = json.loads((run / "metrics.jsonl").read_text("utf-8").splitlines()[-1])["step"]
    assert said == f"sycoca pretrain: stopped after step {last}, checkpoint saved; resume with:"
    assert command == f"  sycoca pretrain --resume {run}"
    assert [path.name for path in (run / "checkpoints").iterdir()] == [f"step-{last:08d}"]
    assert not (run / ".lease").exists()


@pytest.mark.slow
@pytest.mark.parametrize("number", list(CODES))
def test_other_commands_say_what_is_left(tmp_path: Path, number: signal.Signals):
    from PIL import Image

    weights = save_small_weights(tmp_path / "weights")
    (tmp_path / "photos").mkdir()
    for index in range(400):
        Image.new("RGB", (20, 20), (index % 256, 0, 0)).save(tmp_path / "photos" / f"{index:03}.png")
    out = tmp_path / "captions.jsonl"
    words = ["caption", str(weights), str(tmp_path / "photos"), "--batch-size", "1", "--out", str(out)]
    process = started(*words)
    wait_for(out, process, 2)
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == CODES[number], error
    assert f"interrupted; {out} has what was done; resume with:" in error
    assert "Traceback" not in error


@pytest.mark.slow
def test_nohup_is_respected(tmp_path: Path):
    run = tmp_path / "run"

    def ignore() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    process = started(*RUN, "--out", str(run), preexec_fn=ignore)
    wait_for(run / "metrics.jsonl", process, 2)
    process.send_signal(signal.SIGHUP)
    wait_for(run / "metrics.jsonl", process, 6)
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 143


def test_handlers_are_back_after_a_library_has_installed_its_own():
    with handled(raise_stopped):
        with handlers_kept():
            signal.signal(signal.SIGTERM, lambda *_: None)
        with pytest.raises(Stopped):
            os.kill(os.getpid(), signal.SIGTERM)
