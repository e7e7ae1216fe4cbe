"""The job script for Slurm, with stand-ins for Slurm's commands: warned, requeued, resumed and done."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from builders.two_processes import RUN, free_port, wait_for_steps

SCRIPT = Path(__file__).parents[2] / "examples" / "slurm.sh"

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")

SRUN = """#!{python}
import os, subprocess, sys
assert sys.argv[1] == "--kill-on-bad-exit=0"
tasks = []
for rank in ("0", "1"):
    place = dict(SLURM_PROCID=rank, SLURM_NTASKS="2", SLURM_LOCALID=rank)
    tasks.append(subprocess.Popen(sys.argv[2:], env={{**os.environ, **place}}))
open("tasks", "w").write(" ".join(str(task.pid) for task in tasks))
sys.exit(max(task.wait() for task in tasks))
"""

SCONTROL = """#!/bin/bash
if [ "$1" = show ]; then echo 127.0.0.1; else echo "$@" >> scontrol; fi
"""

SYCOCA = """#!/bin/bash
exec {python} -m sycoca "$@"
"""


def test_it_is_a_script_and_asks_for_the_signal_in_time():
    assert subprocess.run(["bash", "-n", SCRIPT], check=False).returncode == 0
    text = SCRIPT.read_text("utf-8")
    assert "#SBATCH --signal=USR1@120\n#SBATCH --requeue\n" in text


@pytest.mark.slow
def test_a_run_that_is_warned_is_requeued_and_ends(tmp_path: Path):
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, text in {"srun": SRUN, "scontrol": SCONTROL, "sycoca": SYCOCA}.items():
        (commands / name).write_text(text.format(python=sys.executable) if "{python}" in text else text, "utf-8")
        (commands / name).chmod(0o755)
    text = SCRIPT.read_text("utf-8")
    words = " ".join(f"'{word}'" for word in [*RUN, "--training.steps", "40"])
    changed = text.replace("pretrain small --data.train captions.jsonl", words)
    assert changed != text
    (tmp_path / "job.sh").write_text(changed, "utf-8")
    port = free_port()
    job = {"SLURM_JOB_ID": str((port - 20000) % 20000), "SLURM_JOB_NODELIST": "node", "OMP_NUM_THREADS": "1"}
    environment = {**os.environ, **job, "PATH": f"{commands}:{os.environ['PATH']}"}

    def submitted() -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["bash", "job.sh"], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    process = submitted()
    run = tmp_path / "runs" / "small"
    wait_for_steps(run, 5, process)
    for task in (tmp_path / "tasks").read_text().split():
        os.kill(int(task), signal.SIGUSR1)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 75, errors
    assert (tmp_path / "scontrol").read_text() == f"requeue {job['SLURM_JOB_ID']}\n"
    process = submitted()
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "resuming after step " in errors
    assert (run / "weights" / "model.safetensors").exists()
    assert (tmp_path / "scontrol").read_text().count("requeue") == 1
