"""The scripts that launch workers of ``sycoca map``: a job array of Slurm, with stand-ins, and pods of Kubernetes."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from sycoca.cli.command_line import check

EXAMPLES = Path(__file__).parents[2] / "examples"

SRUN = """#!/bin/bash
echo "$@" > srun
exit $CODE
"""
SCONTROL = """#!/bin/bash
echo "$@" > scontrol
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("code", "restarts", "is_requeued"), [(75, 0, True), (0, 0, False), (1, 0, False), (75, 50, False)]
)
def test_a_task_of_the_array_that_was_stopped_is_requeued(tmp_path: Path, code: int, restarts: int, is_requeued: bool):
    for name, text in {"srun": SRUN, "scontrol": SCONTROL}.items():
        (tmp_path / name).write_text(text, "utf-8")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "work").mkdir()
    task = {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3", "SLURM_CPUS_PER_TASK": "8", "CODE": str(code)}
    environment = {
        **os.environ,
        **task,
        "SLURM_RESTART_COUNT": str(restarts),
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
    }
    done = subprocess.run(["bash", EXAMPLES / "slurm_map.sh"], cwd=tmp_path / "work", env=environment, check=False)
    assert done.returncode == code
    requeued = tmp_path / "work" / "scontrol"
    assert requeued.exists() == is_requeued
    if is_requeued:
        assert requeued.read_text("utf-8") == "requeue 7_3\n"
    words = (tmp_path / "work" / "srun").read_text("utf-8").split()
    assert words[:2] == ["--kill-on-bad-exit=0", "sycoca"]
    check(words[2:])


def test_pods_run_a_command_that_parses_on_a_folder_that_they_share():
    job = yaml.safe_load((EXAMPLES / "kubernetes_map.yaml").read_text("utf-8"))
    pod = job["spec"]["template"]["spec"]
    (worker,) = pod["containers"]
    assert worker["command"][0] == "sycoca"
    check(worker["command"][1:])
    assert {mount["name"] for mount in worker["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
