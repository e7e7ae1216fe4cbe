"""Processes of a run of two that are killed, hang or fail, and torchrun that is killed.

Each time: how many seconds until all have ended, what they say, with which code; and whether the resumed run ends with
the same weights, bit for bit, as one that was never disturbed. Measured times are printed (``pytest -s``).
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from builders.two_processes import RUN, Rank, free_port, two_processes, wait_for_steps
from sycoca.training.engine.distributed.ending import FAILED_CODE, LOST_CODE

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="needs signals")]

STEPS = ["--training.steps", "40"]
DISTURBED_AT = 13
MOST_SECONDS = 30.0
"""Within which the others must have ended."""

FAILS = f"""
from sycoca.training.engine.update import Updater
real, steps = Updater.update, []
def update(*args):
    steps.append(None)
    if len(steps) == {DISTURBED_AT}:
        raise ValueError("4 of 32 samples are unusable")
    return real(*args)
Updater.update = update
"""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    to_the_end([*RUN, *STEPS, "--out", str(run)])
    return weights_of(run)


@pytest.fixture
def resumes(undisturbed: dict[str, torch.Tensor]) -> Callable[[Path], None]:
    """Return a check that a run can be resumed, and ends with the weights of the undisturbed one."""

    def check(run: Path) -> None:
        to_the_end(["pretrain", "--resume", str(run)])
        weights = weights_of(run)
        assert weights.keys() == undisturbed.keys()
        assert all(torch.equal(weights[name], expected) for name, expected in undisturbed.items())

    return check


def to_the_end(words: list[str]) -> None:
    with two_processes(words) as ranks:
        assert [rank.end(300)[:1] for rank in ranks] == [(0,), (0,)]


def weights_of(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "weights" / "model.safetensors")


def disturbed(run: Path) -> list[str]:
    return [*RUN, *STEPS, "--out", str(run)]


def check_line(lines: list[str], lost: Rank, run: Path, what: str) -> None:
    assert f" (process {lost.process.pid} on " in lines[-1], lines
    assert what in lines[-1]
    assert lines[-1].endswith(f"; all processes end; resume with: sycoca pretrain --resume {run}")
    assert not any("Traceback" in line for line in lines)


@pytest.mark.parametrize("killed", [0, 1])
def test_kill(tmp_path: Path, resumes: Callable[[Path], None], killed: int):
    run = tmp_path / "run"
    with two_processes(disturbed(run)) as ranks:
        wait_for_steps(run, DISTURBED_AT, ranks[0].process)
        ranks[killed].send(signal.SIGKILL)
        code, lines, seconds = ranks[1 - killed].end(60)
    print(f"\nrank {killed} killed: the other one ended after {seconds:.1f} s")
    assert code == LOST_CODE
    assert seconds < MOST_SECONDS
    check_line(lines, ranks[killed], run, "ended unexpectedly")
    resumes(run)


@pytest.mark.parametrize("stopped", [0, 1])
def test_stop_and_continue(tmp_path: Path, resumes: Callable[[Path], None], stopped: int):
    run = tmp_path / "run"
    with two_processes(disturbed(run)) as ranks:
        wait_for_steps(run, DISTURBED_AT, ranks[0].process)
        ranks[stopped].send(signal.SIGSTOP)
        code, lines, seconds = ranks[1 - stopped].end(60)
        files = sorted(run.rglob("*"))
        ranks[stopped].send(signal.SIGCONT)
        late_code, late_lines, late_seconds = ranks[stopped].end(60)
    print(f"\nrank {stopped} stopped: the other one ended after {seconds:.1f} s")
    print(f"the stopped one ended {late_seconds:.1f} s after SIGCONT")
    assert (code, late_code) == (LOST_CODE, LOST_CODE)
    assert seconds < MOST_SECONDS
    check_line(lines, ranks[stopped], run, "has been silent since")
    assert late_lines[-1].startswith(f"rank {stopped} was silent for 20 seconds, and the others have ended")
    # Only its lease may go; nothing is added.
    assert set(run.rglob("*")) <= set(files)
    resumes(run)


@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_of_one(tmp_path: Path, resumes: Callable[[Path], None], failing: int):
    run = tmp_path / "run"
    first = (FAILS, "") if failing == 0 else ("", FAILS)
    with two_processes(disturbed(run), first) as ranks:
        wait_for_steps(run, DISTURBED_AT - 2, ranks[0].process)
        code, own, _ = ranks[failing].end(60)
        other_code, others, seconds = ranks[1 - failing].end(60)
    print(f"\nrank {failing} failed: the other one ended after {seconds:.1f} s")
    assert (code, other_code) == (1, FAILED_CODE)
    assert seconds < MOST_SECONDS
    assert own[-1] == "sycoca pretrain: 4 of 32 samples are unusable"
    if failing == 1:
        check_line(others, ranks[1], run, "has failed: 4 of 32 samples are unusable")
    else:
        assert others == []  # rank 0 has said it
    resumes(run)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGUSR1])
def test_torchrun_ends_without_its_processes(tmp_path: Path, resumes: Callable[[Path], None], number: signal.Signals):
    run = tmp_path / "run"
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "sycoca"]
    errors = tmp_path / "stderr"
    with errors.open("wb") as file:
        torchrun = subprocess.Popen([*words, *disturbed(run)], stdout=subprocess.DEVNULL, stderr=file, text=True)
    try:
        wait_for_steps(run, DISTURBED_AT, torchrun)
        torchrun.send_signal(number)
        ended_at = time.monotonic()
        torchrun.wait(60)
        while (run / ".lease").exists():
            assert time.monotonic() < ended_at + MOST_SECONDS
            time.sleep(0.02)
    finally:
        torchrun.kill()
        torchrun.wait()
    print(f"\ntorchrun ended by {number.name}: the run stopped after {time.monotonic() - ended_at:.1f} s")
    time.sleep(3)
    lines = [line for line in errors.read_text("utf-8").splitlines() if not line.startswith("step ")]
    assert "torchrun has ended without its processes; stopping as after a SIGTERM" in lines
    assert lines[-2].startswith("sycoca pretrain: stopped after step ")
    assert lines[-1] == f"  sycoca pretrain --resume {run}"
    resumes(run)


def test_peers_that_never_arrive(tmp_path: Path):
    words = [*disturbed(tmp_path / "run"), "--runtime.rendezvous-seconds", "12"]
    port = free_port()
    ranks = [Rank(rank, port, words, num_processes=3) for rank in (0, 2)]
    (code, lines, seconds), (other_code, others, _) = [rank.end(60) for rank in ranks]
    print(f"\nrank 1 of 3 never arrived: the others ended after {seconds:.1f} s")
    assert (code, other_code, others) == (1, 1, [])
    here = f"2 of 3 processes have arrived at 127.0.0.1:{port} (rank 1 is missing)"
    assert lines == [
        f"{here}; giving up after 12 seconds (runtime.rendezvous_seconds)",
        f"sycoca pretrain: {here}, after 12 seconds (runtime.rendezvous_seconds); start all processes with torchrun",
    ]
