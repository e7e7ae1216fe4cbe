"""A worker process for one of two source trees: it does a step, or saves a checkpoint, for each line of stdin.

    revision_worker.py steps ARGUMENTS OF sycoca...
    revision_worker.py checkpoints PRESET FOLDER

Every line of stdout is a time in seconds. Steps are timed in processor time of the main process, from one update to the
next: batch, losses, gradients, review. Checkpoints are timed by the clock, since most of it is writing.
"""

import inspect
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any, TextIO

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook


def main() -> None:
    """Serve one tree: the one that PYTHONPATH names."""
    what, *arguments = sys.argv[1:]
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the commands print is no time
    if what == "steps":
        _serve_steps(out, arguments)
    else:
        _serve_checkpoints(out, arguments[0], Path(arguments[1]))


def _serve_steps(out: TextIO, arguments: list[str]) -> None:
    """Run the command, and wait after each optimizer step."""
    from sycoca.cli.main import main as sycoca

    started = time.process_time()

    def wait(*_: object) -> None:
        nonlocal started
        _report(out, time.process_time() - started)
        started = time.process_time()

    register_optimizer_step_post_hook(wait)
    sycoca(arguments)


def _serve_checkpoints(out: TextIO, preset: str, folder: Path) -> None:
    """Save checkpoint after checkpoint of a model with its AdamW state, of which one is kept."""
    from sycoca.model.sycoca import SyCoCa
    from sycoca.presets.pretrain import pretrain_preset
    from sycoca.training.engine.checkpoints import checkpoint
    from sycoca.training.engine.optimization.optimizer import build_optimizer

    config = pretrain_preset(preset)
    model = SyCoCa(config.model)
    optimizer = build_optimizer(model, config.optimizer)
    for parameter in model.parameters():
        parameter.grad = torch.rand_like(parameter)
    optimizer.step()
    # Trees from before manifests delete within `save_checkpoint`.
    deletes = "num_kept" in inspect.signature(checkpoint.save_checkpoint).parameters
    _report(out, 0.0)
    for step in range(1, 10**6):
        started = time.perf_counter()
        state = checkpoint.TrainingState(step=step, samples_seen=step)
        options: dict[str, Any] = {"num_kept": 1} if deletes else {}
        checkpoint.save_checkpoint(folder, state, model, optimizer, **options)
        if not deletes:
            shutil.rmtree(checkpoint.checkpoint_path(folder, step - 1), ignore_errors=True)
        _report(out, time.perf_counter() - started)


def _report(out: TextIO, seconds: float) -> None:
    out.write(f"{seconds}\n")
    out.flush()
    sys.stdin.readline()


if __name__ == "__main__":
    main()
