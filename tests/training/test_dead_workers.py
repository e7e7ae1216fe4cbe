"""Runs whose loader workers die: replaced once or twice, then the run saves and names the command that resumes."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from sycoca.cli.train.training_runs import run_to_its_end
from sycoca.data.loading.workers import MOST_DEATHS
from sycoca.data.samples import ImageTextSample, SampleSource
from sycoca.data.spec import open_source
from sycoca.training.config import DataConfig, TrainingConfig
from sycoca.training.engine.interruption import LoaderWorkersDiedError
from sycoca.training.engine.tracking import read_metrics
from sycoca.training.pretrain import pretrain, resume_pretraining
from sycoca.training.recipes.pretraining.config import PretrainConfig

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs signals")

TRAINING = TrainingConfig(
    steps=12, global_batch_size=4, micro_batch_size=2, log_every=1, save_every=100, tensorboard=False, report=False
)
WORKERS = DataConfig(train="scenes:?count=10&size=16", num_workers=2)


class Deadly:
    """A source that ends the first workers that open an image; fewer where one death ends two of them."""

    def __init__(self, source: SampleSource, folder: Path, num_deaths: int) -> None:
        self.name = source.name
        self._source = source
        self._folder = folder
        self._num_deaths = num_deaths

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> ImageTextSample:
        sample = self._source[index]

        def open_image(smallest_side: int | None = None) -> Image.Image:
            if multiprocessing.parent_process() is not None:
                self._die_once()
            return sample.open_image(smallest_side)

        return replace(sample, open_image=open_image)

    def _die_once(self) -> None:
        for number in range(self._num_deaths):
            try:
                (self._folder / f"death-{number}").touch(exist_ok=False)
            except FileExistsError:
                continue
            os.kill(os.getpid(), signal.SIGKILL)


def weights_of(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "weights" / "model.safetensors")


def losses_of(run: Path) -> list[tuple[object, ...]]:
    return [(one["step"], one["contrastive"], one["captioning"]) for one in read_metrics(run / "metrics.jsonl")]


def assert_same(run: Path, other: Path) -> None:
    ours, theirs = weights_of(run), weights_of(other)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert losses_of(run) == losses_of(other)


@pytest.fixture(scope="module")
def undisturbed(make_run_config: Callable[..., PretrainConfig]) -> Path:
    return pretrain(make_run_config(training=TRAINING))


def test_a_run_that_loses_workers_ends_with_the_same_weights(
    make_run_config: Callable[..., PretrainConfig], undisturbed: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    config = make_run_config(training=TRAINING, data=WORKERS)
    assert_same(pretrain(config, Deadly(open_source(WORKERS.train), tmp_path, MOST_DEATHS - 1)), undisturbed)
    assert sum(" died; " in message for message in caplog.messages) in range(1, MOST_DEATHS)


def test_after_too_many_deaths_it_saves_and_resumes(
    make_run_config: Callable[..., PretrainConfig], undisturbed: Path, tmp_path: Path
):
    config = make_run_config(training=TRAINING, data=WORKERS)
    with pytest.raises(LoaderWorkersDiedError) as died:
        pretrain(config, Deadly(open_source(WORKERS.train), tmp_path, 3 * MOST_DEATHS))
    assert died.value.resume_command == f"sycoca pretrain --resume {config.out} --data.num-workers 1"
    assert str(died.value).startswith("loader workers died again and again, mostly because memory is short; stopped")
    saved = [path.name for path in (Path(config.out) / "checkpoints").iterdir()]
    assert saved == [f"step-{died.value.step:08d}"]
    assert died.value.step < TRAINING.steps
    assert_same(resume_pretraining(config), undisturbed)


def test_the_command_says_so_in_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    def train(_console: object) -> Path:
        raise LoaderWorkersDiedError("sycoca pretrain --resume run --data.num-workers 1", 7)

    assert run_to_its_end(train, "sycoca pretrain") == 1
    assert capsys.readouterr().err == (
        "sycoca pretrain: loader workers died again and again, mostly because memory is short; stopped after step 7,"
        " checkpoint saved; resume with fewer workers:\n  sycoca pretrain --resume run --data.num-workers 1\n"
    )
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "9"}.items():
        monkeypatch.setenv(name, value)
    assert run_to_its_end(train, "sycoca pretrain") == 1
    assert capsys.readouterr().err == ""
