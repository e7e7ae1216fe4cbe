"""Ablations that are killed, stopped and shared end with the results of undisturbed ones."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from builders.small_ablations import TEST_SCENES, write_recipe
from sycoca.experiments.ablation.run_result import RunResult

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="kills processes by signals"),
]

STEPS = "400"
"""Enough that a process can be killed between two checkpoints."""


def started(folder: Path, out: Path, *, processes: int = 1) -> subprocess.Popen[str]:
    """Start an ablation of two rows and one seed."""
    words = ["ablate", str(write_recipe(folder)), "--out", str(out), "--test", TEST_SCENES, "--steps", STEPS]
    command = [sys.executable, "-m", "sycoca", *words, "--seeds", "1", "--processes", str(processes)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Return exit code and stderr."""
    _, errors = process.communicate(timeout=300)
    return process.returncode, errors


def wait_for(found: Callable[[], bool]) -> None:
    for _ in range(3000):
        if found():
            return
        time.sleep(0.05)
    raise TimeoutError("what was waited for did not happen")


def trained_by(out: Path, run: str) -> int:
    """Return the process that trains a run, once it has saved a checkpoint."""
    folder = out / "runs" / run
    wait_for(lambda: any((folder / "checkpoints").glob("step-*")))
    return json.loads((folder / ".lease").read_text())["pid"]


def has_ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def results(out: Path) -> dict[str, RunResult]:
    return {path.stem: RunResult.load(path) for path in (out / "results").glob("*.json")}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunResult]:
    folder = tmp_path_factory.mktemp("undisturbed")
    assert ended(started(folder, folder / "out"))[0] == 0
    return results(folder / "out")


def check_equal(out: Path, undisturbed: dict[str, RunResult]) -> None:
    found = results(out)
    assert found.keys() == undisturbed.keys() == {f"{row}-{STEPS}steps-seed0" for row in ("coca", "sycoca")}
    for name, result in found.items():
        assert result.metrics == undisturbed[name].metrics
        assert result.settings_sha256 == undisturbed[name].settings_sha256
    assert list((out / "runs").iterdir()) == []


def test_a_killed_worker_is_started_again(tmp_path: Path, undisturbed: dict[str, RunResult]):
    out, run = tmp_path / "out", f"coca-{STEPS}steps-seed0"
    ablation = started(tmp_path, out)
    os.kill(trained_by(out, run), signal.SIGKILL)
    code, errors = ended(ablation)
    assert code == 0
    assert f"{run}: its process was killed by signal 9; it is started again, from its newest checkpoint" in errors
    assert results(out)[run].killed_sessions == 1
    check_equal(out, undisturbed)


def test_a_killed_ablation_resumes(tmp_path: Path, undisturbed: dict[str, RunResult]):
    out = tmp_path / "out"
    ablation = started(tmp_path, out)
    worker = trained_by(out, f"coca-{STEPS}steps-seed0")
    ablation.kill()
    ablation.communicate()
    wait_for(lambda: has_ended(worker))  # it saves a checkpoint
    assert ended(started(tmp_path, out))[0] == 0
    assert results(out)[f"coca-{STEPS}steps-seed0"].killed_sessions == 0
    check_equal(out, undisturbed)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stopped_ablation_resumes(
    tmp_path: Path, undisturbed: dict[str, RunResult], number: signal.Signals, code: int
):
    out = tmp_path / "out"
    ablation = started(tmp_path, out)
    worker = trained_by(out, f"coca-{STEPS}steps-seed0")
    ablation.send_signal(number)
    found, errors = ended(ablation)
    assert found == code
    assert "has the results of 0 of 2 runs; the same command resumes the others" in errors
    assert "Traceback" not in errors
    assert has_ended(worker)
    assert ended(started(tmp_path, out))[0] == 0
    check_equal(out, undisturbed)


def test_two_ablations_on_one_folder_share_the_runs(tmp_path: Path, undisturbed: dict[str, RunResult]):
    out = tmp_path / "out"
    both = [ended(process) for process in [started(tmp_path, out), started(tmp_path, out)]]
    assert [code for code, _ in both] == [0, 0]
    finished = [line for _, errors in both for line in errors.splitlines() if line.endswith(" is finished")]
    assert sorted(finished) == sorted(f"{run} is finished" for run in undisturbed)
    assert all("Traceback" not in errors for _, errors in both)
    check_equal(out, undisturbed)
