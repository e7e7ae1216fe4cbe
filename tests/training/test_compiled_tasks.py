"""Every task's forward compiles in one graph, with nothing that leaves it, such as a shape from values."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from builders import compiled_tasks
from sycoca.training.finetune import KINDS


@pytest.mark.slow
def test_every_task_compiles_in_one_graph():
    compile_all("eager")


@pytest.mark.compiled
def test_every_task_in_one_graph_has_the_losses_and_gradients_of_a_plain_one():
    compile_all("inductor")


def test_no_task_is_missing():
    # Retrieval and captioning are the objectives of pretraining with other weights.
    assert KINDS.keys() - {"retrieval", "captioning"} <= compiled_tasks.TASKS.keys()


def compile_all(backend: str) -> None:
    """Compare all tasks in a process of its own: where functions are wrapped by a shape checker, tracing fails."""
    command = [sys.executable, "-W", "ignore", compiled_tasks.__file__, backend]
    path = os.pathsep.join([str(Path(compiled_tasks.__file__).parents[1]), *sys.path])
    environment = {**os.environ, "JAXTYPING_DISABLE": "1", "PYTHONPATH": path}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == list(compiled_tasks.TASKS)
