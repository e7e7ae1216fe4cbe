"""The torchrun commands of the documents run as they stand there, with small sizes, two processes and one host."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from builders.documents import Document, present_documents
from builders.two_processes import free_port
from sycoca.cli.main import main

TORCHRUN = """#!{python}
import os, pathlib, sys
words = ["2" if before == "--nproc-per-node" else word for before, word in zip(sys.argv, sys.argv[1:])]
calls = pathlib.Path("calls")
calls.write_text(calls.read_text() + "x" if calls.exists() else "x")
words += ["--training.steps", str(2 * len(calls.read_text()))]
if "--resume" not in words:
    words += ["--training.global-batch-size", "4", "--training.save-every", "2", "--schedule.warmup-steps", "1"]
    words += ["--data.num-workers", "0", "--runtime.device", "cpu", "--training.no-report", "--training.no-tensorboard"]
os.execv("{python}", ["{python}", "-m", "torch.distributed.run", *words])
"""
"""Stands in for torchrun: less of everything, and two steps more in each call than in the one before."""


def training_commands(document: Document) -> list[str]:
    """Return the lines of a document's shell blocks that train under torchrun; Slurm's srun starts one per host."""
    shell = [block for language, block in document.blocks() if language == "sh"]
    lines = [line.split("  #")[0] for block in shell for line in block.replace("\\\n", " ").splitlines()]
    return [line.removeprefix("srun ") for line in lines if "torchrun " in line and "sycoca pretrain" in line]


EXAMPLES = {document.name: lines for document in present_documents() if (lines := training_commands(document))}


def test_the_readme_and_the_page_on_clusters_have_examples():
    assert {"README.md", "docs/clusters.md"} <= EXAMPLES.keys()


@pytest.mark.slow
@pytest.mark.parametrize("document", EXAMPLES)
def test_the_commands_train_and_resume(document: str, tmp_path: Path):
    assert main(["data", "write-scenes", str(tmp_path), "--count", "16"]) == 0
    (tmp_path / "bin").mkdir()
    torchrun = tmp_path / "bin" / "torchrun"
    torchrun.write_text(TORCHRUN.format(python=sys.executable), "utf-8")
    torchrun.chmod(0o755)
    place = {"SLURM_NNODES": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "OMP_NUM_THREADS": "1"}
    environment = {**os.environ, **place, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    for number, line in enumerate(EXAMPLES[document], start=1):
        done = subprocess.run(
            ["bash", "-c", line], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        assert "2 processes" in done.stderr
        assert (tmp_path / "runs" / "small" / "checkpoints" / f"step-{2 * number:08d}").is_dir(), line
