"""Too little memory and full disks, with the errors of the command line."""

import errno
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from sycoca.cli.main import main
from sycoca.data import selection
from sycoca.data.loading.skipping import SkipLog
from sycoca.training.checkpoint_copies import checkpoints_in
from sycoca.training.config import DataConfig, TrainingConfig
from sycoca.training.engine import limits
from sycoca.training.engine.limits import explained_out_of_memory
from sycoca.training.engine.runtime import Runtime
from sycoca.training.engine.update import Updater
from sycoca.training.pretrain import pretrain
from sycoca.training.recipes.pretraining.recipe import Pretraining
from sycoca.training.run.assembly import assemble
from sycoca.training.run_folder import RunFolder


def short(out: Path, *flags: str) -> list[str]:
    data = ["--data.train", "scenes:?count=12&size=16", "--data.validation", "None", "--data.num-workers", "0"]
    steps = ["--training.steps", "4", "--training.global-batch-size", "4", "--training.save-every", "2"]
    return ["pretrain", "tiny", "--out", str(out), *data, *steps, *flags]


def test_a_batch_that_cannot_fit_is_refused_before_anything_is_trained(tmp_path: Path, capsys):
    size = str(2**24)
    flags = ["--training.global-batch-size", size, "--training.micro-batch-size", size]
    for more in ([], ["--dry-run"]):
        assert main([*short(tmp_path / "run"), *flags, *more]) == 1
        line = capsys.readouterr().err.splitlines()[-1]
        assert line.startswith("sycoca pretrain: a forward pass of 16,777,216 images takes at least ")
        assert "set --training.micro-batch-size, which the --dry-run of a pretraining measures" in line
    assert not list((tmp_path / "run" / "checkpoints").iterdir())
    assert main(short(tmp_path / "run")) == 0, "the folder can be used with a smaller batch"


def test_the_estimate_grows_with_the_batch_and_names_what_fits(make_run_config, monkeypatch: pytest.MonkeyPatch):
    config = make_run_config()
    monkeypatch.setattr(limits, "device_bytes", lambda _: 2**20)
    config = replace(config, training=replace(config.training, global_batch_size=64))
    with pytest.raises(ValueError, match=r"at most (\d+) fit") as caught:
        pretrain(config)
    fitting = int(str(caught.value).split("at most ")[1].split(" ")[0])
    assert 1 < fitting < 64
    fits = replace(make_run_config(), training=TrainingConfig(steps=1, global_batch_size=fitting, report=False))
    assert pretrain(fits).is_dir()
    monkeypatch.setattr(limits, "device_bytes", lambda _: 2**10)
    with pytest.raises(ValueError, match="the model alone is too large for it"):
        pretrain(replace(make_run_config(), training=config.training))


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_running_out_of_memory_names_the_batch_and_half_of_it(tmp_path, capsys, monkeypatch, error: Exception):
    def update(*_: object) -> None:
        raise error

    monkeypatch.setattr(Updater, "update", update)
    for more in ([], ["--dry-run"]):
        assert main([*short(tmp_path / f"run{len(more)}"), *more]) == 1
        assert capsys.readouterr().err.splitlines()[-1] == (
            "sycoca pretrain: out of memory on cpu with 4 pairs per forward pass; try --training.micro-batch-size 2"
            ", which the --dry-run of a pretraining measures"
        )


def test_other_errors_are_not_taken_for_it():
    with pytest.raises(RuntimeError, match="shapes differ"), explained_out_of_memory(4, torch.device("cpu")):
        raise RuntimeError("shapes differ")


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        pytest.param(
            SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_full_disk_leaves_the_previous_checkpoint_and_says_how_to_go_on(tmp_path, capsys, monkeypatch, error):
    from sycoca.training.engine.checkpoints import checkpoint

    real = checkpoint.write_tensor_file
    saved = []

    def save(tensors, path: Path):
        saved.append(path)
        if len(saved) > 3:  # model and optimizer of step 2, the model of step 4
            raise error
        return real(tensors, path)

    monkeypatch.setattr(checkpoint, "write_tensor_file", save)
    run = tmp_path / "run"
    assert main(short(run)) == 1
    assert capsys.readouterr().err.splitlines()[-2:] == [
        f"sycoca pretrain: the disk is full; {run} has what was done; free some space and resume with:",
        f"  sycoca pretrain --resume {run}",
    ]
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["step-00000002"]
    monkeypatch.undo()
    assert main(["pretrain", "--resume", str(run)]) == 0
    assert checkpoints_in(RunFolder(run).checkpoints)[-1][0] > 2


def test_images_of_a_large_source_are_not_kept(make_run_config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config = make_run_config(data=DataConfig(train="scenes:?count=10&size=16", cache_images=True))
    recipe = Pretraining(config)
    source = recipe.open_sources().train
    with Runtime(config.runtime) as runtime:
        trained = recipe.build(source, RunFolder(tmp_path), runtime)
        for largest, is_kept in ((10, True), (9, False)):
            monkeypatch.setattr(selection, "LARGE_SOURCE", largest)
            parts = assemble(config, source, trained, runtime, SkipLog(source, 0.0))
            assert parts.batches.cache_images == is_kept


@pytest.mark.parametrize(("wanted", "got"), [(64, 3), (2, 2), (0, 0)])
def test_there_are_no_more_loader_workers_than_cores(
    make_run_config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: int, got: int
):
    monkeypatch.setattr("sycoca.training.run.assembly.usable_cores", lambda: 3)
    config = make_run_config(data=DataConfig(train="scenes:?count=10&size=16", num_workers=wanted))
    recipe = Pretraining(config)
    source = recipe.open_sources().train
    with Runtime(config.runtime) as runtime:
        trained = recipe.build(source, RunFolder(tmp_path), runtime)
        assert assemble(config, source, trained, runtime, SkipLog(source, 0.0)).batches.num_workers == got
