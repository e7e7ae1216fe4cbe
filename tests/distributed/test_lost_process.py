"""A killed process ends the other one at once, with a line that says so (slower cases: tests/reliability)."""

import signal
from pathlib import Path

from builders.two_processes import RUN, two_processes, wait_for_steps
from sycoca.training.engine.distributed.ending import LOST_CODE


def test_a_killed_process_ends_the_other_one(tmp_path: Path):
    run = tmp_path / "run"
    with two_processes([*RUN, "--training.steps", "100000", "--out", str(run)]) as (first, second):
        wait_for_steps(run, 2, first.process)
        second.send(signal.SIGKILL)
        code, lines, seconds = first.end(60)
    assert (code, seconds < 10) == (LOST_CODE, True)
    assert lines[-1].startswith(f"rank 1 (process {second.process.pid} on ")
    assert " ended unexpectedly at " in lines[-1]
    assert lines[-1].endswith(f"; resume with: sycoca pretrain --resume {run}")
    assert lines[-1] in (run / "log.txt").read_text("utf-8").splitlines()[-1]
    assert not (run / ".lease").exists()
