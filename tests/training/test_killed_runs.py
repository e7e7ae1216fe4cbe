"""A run that is killed while it writes, and resumed, ends with the same weights and files."""

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sycoca.training.config import TrainingConfig
from sycoca.training.engine.tracking import read_metrics
from sycoca.training.pretrain import pretrain, resume_pretraining
from sycoca.training.recipes.pretraining.config import PretrainConfig

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork")

TRAINING = TrainingConfig(steps=4, global_batch_size=4, log_every=1, save_every=2, tensorboard=False, report=False)

Killed = Callable[[PretrainConfig, int], int]


@pytest.fixture
def train_until_killed(monkeypatch: pytest.MonkeyPatch) -> Killed:
    """Return a function that trains in a fork, which is killed when it flushes so many files; returns the signal."""
    real = os.fsync

    def train(config: PretrainConfig, num_files: int) -> int:
        flushed: list[int] = []

        def fsync(descriptor: int) -> None:
            flushed.append(descriptor)
            if len(flushed) == num_files:
                os.kill(os.getpid(), signal.SIGKILL)
            real(descriptor)

        child = os.fork()
        if child == 0:
            monkeypatch.setattr(os, "fsync", fsync)
            try:
                pretrain(config)
            finally:
                os._exit(0)
        return -os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    return train


@pytest.fixture(scope="module")
def undisturbed(make_run_config: Callable[..., PretrainConfig]) -> Path:
    return pretrain(make_run_config(training=TRAINING))


@pytest.mark.parametrize("num_files", [2, 6, 9, 13, 16])
def test_kill_and_resume(
    make_run_config: Callable[..., PretrainConfig], undisturbed: Path, train_until_killed: Killed, num_files: int
):
    config = make_run_config(training=TRAINING)
    assert train_until_killed(config, num_files) == signal.SIGKILL
    run = resume_pretraining(replace(config, training=TRAINING))
    ours, theirs = (load_file(one / "weights" / "model.safetensors") for one in (run, undisturbed))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert losses_of(run) == losses_of(undisturbed)
    assert {path.relative_to(run) for path in run.rglob("*")} == {
        path.relative_to(undisturbed) for path in undisturbed.rglob("*")
    }


def losses_of(run: Path) -> list[tuple[float, ...]]:
    return [(line["step"], line["contrastive"], line["masked_image"]) for line in read_metrics(run / "metrics.jsonl")]
