"""Runs whose gradients, losses or weights are not finite: steps are skipped and named, sound checkpoints stay."""

import json
import math
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from sycoca.cli.main import main
from sycoca.records import LossTerms
from sycoca.training.config import OptimizerConfig, ScheduleConfig, TrainingConfig
from sycoca.training.engine import update
from sycoca.training.engine.interruption import StopSignal, TrainingInterrupted
from sycoca.training.engine.tracking import read_metrics
from sycoca.training.engine.update import Updater
from sycoca.training.pretrain import pretrain, resume_pretraining
from sycoca.training.recipes.image_text.task import ImageTextTask
from sycoca.training.run_folder import RunFolder

STEPS = TrainingConfig(steps=8, global_batch_size=4, log_every=1, save_every=1, tensorboard=False, report=False)

WILD = [
    *("pretrain", "tiny", "--data.train", "scenes:?count=64&size=32", "--data.validation", "None"),
    *("--data.num-workers", "0", "--training.global-batch-size", "8", "--training.no-report"),
    *("--training.no-tensorboard", "--training.log-every", "1", "--runtime.device", "cpu"),
    *("--optimizer.peak-lr", "1e3", "--training.save-every", "1"),
]

Poison = Callable[..., None]


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> Poison:
    """Return a function that makes the gradient of some updates, counted from 1, not finite."""
    real = update.clip_gradients

    def poisoned(*numbers: int, value: float = math.nan) -> None:
        calls: list[None] = []

        def clip(parameters: Sequence[nn.Parameter], max_norm: float) -> torch.Tensor:
            calls.append(None)
            gradient = next(parameter.grad for parameter in parameters if parameter.grad is not None)
            if len(calls) in numbers:
                gradient.view(-1)[-1] = value
            return real(parameters, max_norm)

        monkeypatch.setattr(update, "clip_gradients", clip)

    return poisoned


def tensors_of(folder: Path) -> dict[str, torch.Tensor]:
    return {
        f"{path.name} {name}": tensor
        for path in folder.glob("*.safetensors")
        for name, tensor in load_file(path).items()
    }


def checkpoints_of(run: Path) -> list[str]:
    return sorted(path.name for path in RunFolder(run).checkpoints.iterdir())


def skipped_steps(run: Path) -> list[dict]:
    lines = RunFolder(run).skipped_steps.read_text("utf-8").splitlines()
    return [record for record in map(json.loads, lines) if record["reason"] == "not finite"]


@pytest.mark.parametrize("value", [math.nan, math.inf, pytest.param(-math.inf, marks=pytest.mark.slow)])
def test_a_step_that_is_not_finite_changes_nothing_and_is_named(make_run_config, poison: Poison, value: float, caplog):
    poison(4, value=value)
    run = pretrain(make_run_config(training=replace(STEPS, report=True)))
    (record,) = skipped_steps(run)
    (line,) = (line for line in read_metrics(run / "metrics.jsonl") if line["step"] == 4)
    for term in ("contrastive", "captioning", "masked_image"):
        assert record[term] == pytest.approx(line[term], rel=1e-6)
    assert "1, named in skipped_steps.jsonl" in (run / "report.html").read_text("utf-8")
    assert (record["step"], record["gradient_norm"]) == (4, str(value) if math.isnan(value) else "inf")
    assert len(record["samples"]) == STEPS.global_batch_size
    assert all(name.startswith("scenes-easy-train") for name in record["samples"])
    assert f"step 4 skipped: its loss is {record['loss']:g}" in caplog.text
    assert [line["skipped_steps"] for line in read_metrics(run / "metrics.jsonl")] == [0, 0, 0, 1, 1, 1, 1, 1]
    assert checkpoints_of(run) == ["step-00000007", "step-00000008"]
    for name, tensor in tensors_of(RunFolder(run).weights).items():
        assert tensor.isfinite().all(), name


def test_a_due_checkpoint_waits_for_the_next_finite_step(make_run_config, poison: Poison):
    config = make_run_config(training=replace(STEPS, save_every=4, keep_checkpoints=9))
    poison(4, 5)
    assert checkpoints_of(pretrain(config)) == ["step-00000006", "step-00000008"]


def test_many_in_a_row_end_the_run_and_the_sound_checkpoint_stays(make_run_config, poison: Poison):
    config = make_run_config(training=replace(STEPS, keep_checkpoints=1))
    poison(*range(4, 9))
    with pytest.raises(FloatingPointError) as caught:
        pretrain(config)
    run = Path(config.out)
    assert str(caught.value) == (
        "the last 5 steps had a loss or gradient that is not finite; set aside as unsound: step-00000003.unsound;"
        " resume from the last sound checkpoint with a lower optimizer.peak_lr or another runtime.precision:"
        f" sycoca pretrain --resume {run}"
    )
    assert checkpoints_of(run) == ["step-00000002", "step-00000003.unsound"]
    assert [record["step"] for record in skipped_steps(run)] == [4, 5, 6, 7, 8]
    assert not RunFolder(run).weights.exists()
    poison()
    resume_pretraining(config)
    assert RunFolder(run).weights.is_dir()
    assert skipped_steps(run) == [], "those steps were done again"


def test_a_resume_that_fails_at_once_sets_aside_only_the_checkpoint_that_it_started_from(
    make_run_config, poison: Poison
):
    config = make_run_config(training=replace(STEPS, keep_checkpoints=9))
    poison(*range(4, 9))
    with pytest.raises(FloatingPointError):
        pretrain(config)
    poison(*range(1, 6))
    with pytest.raises(FloatingPointError, match=r"set aside as unsound: step-00000002\.unsound;"):
        resume_pretraining(config)
    assert checkpoints_of(Path(config.out)) == ["step-00000001", "step-00000002.unsound", "step-00000003.unsound"]


def test_skipped_steps_that_are_not_in_a_row_do_not_end_it(make_run_config, poison: Poison):
    config = make_run_config(training=replace(STEPS, max_skipped_steps=2))
    poison(2, 4, 6)
    assert [record["step"] for record in skipped_steps(pretrain(config))] == [2, 4, 6]


def test_a_last_step_that_is_skipped_does_not_fail_a_sound_run(make_run_config, poison: Poison):
    config = make_run_config(training=STEPS)
    poison(7, 8)
    run = pretrain(config)
    assert [record["step"] for record in skipped_steps(run)] == [7, 8]
    assert checkpoints_of(run) == ["step-00000006", "step-00000008"]
    before, after = (tensors_of(RunFolder(run).checkpoints / f"step-0000000{step}") for step in (6, 8))
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items() if name.startswith("model"))


def test_a_loss_that_is_not_finite_skips_the_update_though_its_gradient_is(make_run_config, monkeypatch):
    real, calls = ImageTextTask.total_loss, []

    def infinite(self: ImageTextTask, terms: LossTerms) -> torch.Tensor:
        calls.append(None)
        return real(self, terms) + (math.inf if len(calls) == 4 else 0.0)

    monkeypatch.setattr(ImageTextTask, "total_loss", infinite)
    run = pretrain(make_run_config(training=replace(STEPS, keep_checkpoints=9)))
    assert [(record["step"], record["loss"]) for record in skipped_steps(run)] == [(4, "inf")]
    assert "step-00000004" not in checkpoints_of(run)


def test_a_stop_waits_for_a_finite_step(make_run_config, poison: Poison, monkeypatch: pytest.MonkeyPatch):
    config = make_run_config(training=replace(STEPS, save_every=None))
    poison(2, 3)
    monkeypatch.setattr(StopSignal, "_set", lambda *_: None)
    monkeypatch.setattr(StopSignal, "__enter__", stopping)
    config = replace(config, training=replace(config.training, log_every=100))
    with pytest.raises(TrainingInterrupted, match="stopped after step 1"):
        pretrain(config)
    poison(1, 2)
    with pytest.raises(TrainingInterrupted, match="stopped after step 4"):
        resume_pretraining(config)
    assert checkpoints_of(Path(config.out)) == ["step-00000001", "step-00000004"]


def stopping(signal: StopSignal) -> StopSignal:
    signal._number = 15
    signal._handled = nullcontext()
    return signal


def test_last_weights_that_compute_nothing_are_not_written(make_run_config, monkeypatch: pytest.MonkeyPatch):
    config = make_run_config(training=STEPS)
    monkeypatch.setattr(Updater, "loss", lambda *_: torch.tensor(math.nan))
    with pytest.raises(FloatingPointError, match="with the final weights, the loss of the batch of step 8 is nan"):
        pretrain(config)
    assert not RunFolder(Path(config.out)).weights.exists()
    assert checkpoints_of(Path(config.out)) == ["step-00000006", "step-00000007"]


@pytest.mark.parametrize("decay", [None, 0.9])
def test_weights_that_are_not_finite_are_never_saved(make_run_config, monkeypatch: pytest.MonkeyPatch, decay):
    config = make_run_config(training=replace(STEPS, average_decay=decay))
    real = Updater.update

    def overflow(self: Updater, micro_batches, lr: float):
        result = real(self, micro_batches, lr)
        if lr < 0.0016:  # the last step's rate
            self.optimizer.param_groups[0]["params"][0].data.view(-1)[0] = math.inf
        return result

    monkeypatch.setattr(Updater, "update", overflow)
    monkeypatch.setattr(Updater, "loss", lambda *_: torch.tensor(0.0))
    with pytest.raises(FloatingPointError, match=r"the weights after step \d are not finite"):
        pretrain(config)
    run = Path(config.out)
    assert not RunFolder(run).weights.exists()
    for name in checkpoints_of(run):
        assert all(tensor.isfinite().all() for tensor in tensors_of(RunFolder(run).checkpoints / name).values())


@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=pytest.mark.slow)])
def test_a_wild_learning_rate_ends_the_run_and_a_lower_one_finishes_it(tmp_path: Path, capsys, precision: str):
    run = tmp_path / "run"
    words = [*WILD, "--training.steps", "20", "--runtime.precision", precision, "--out", str(run)]
    assert main(words) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert "the last 5 steps had a loss or gradient that is not finite" in line
    assert f"sycoca pretrain --resume {run}" in line
    assert len(skipped_steps(run)) >= 5  # before the last five, a finite step may follow some
    sound = [name for name in checkpoints_of(run) if not name.endswith(".unsound")]
    assert len(sound) in (1, 2)
    assert all(tensor.isfinite().all() for tensor in tensors_of(RunFolder(run).checkpoints / sound[-1]).values())
    assert main(["pretrain", "--resume", str(run), "--optimizer.peak-lr", "1e-6"]) == 0
    assert all(tensor.isfinite().all() for tensor in tensors_of(RunFolder(run).weights).values())


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_two_processes_skip_the_same_steps(tmp_path: Path, precision: str):
    def torchrun(*words: str) -> subprocess.CompletedProcess[str]:
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        return subprocess.run(
            [*launcher, "-m", "sycoca", *words], capture_output=True, text=True, check=False, timeout=500
        )

    run = tmp_path / "run"
    # After the first step no weights are sound. At a lower rate some are finite, but so large that gradients overflow
    # at any rate: whether such a run can be resumed depends on the machine.
    wild = [*WILD, "--optimizer.peak-lr", "1e4", "--training.steps", "12", "--runtime.precision", precision]
    done = torchrun(*wild, "--out", str(run))
    assert done.returncode != 0
    assert "the last 5 steps had a loss or gradient that is not finite" in done.stderr
    assert len(skipped_steps(run)) >= 5
    assert torchrun("pretrain", "--resume", str(run), "--optimizer.peak-lr", "1e-6").returncode == 0
    assert all(tensor.isfinite().all() for tensor in tensors_of(RunFolder(run).weights).values())


@pytest.mark.slow
def test_loss_spikes_are_named_and_ordinary_runs_have_none(make_run_config, monkeypatch: pytest.MonkeyPatch, caplog):
    training = replace(STEPS, steps=40, save_every=None)
    optimizer, schedule = OptimizerConfig(peak_lr=1e-3), ScheduleConfig(warmup_steps=2)
    changes = {"training": training, "optimizer": optimizer, "schedule": schedule}
    assert not RunFolder(pretrain(make_run_config("calm", **changes))).skipped_steps.exists()
    real, calls = Updater.update, []

    def update(self: Updater, micro_batches, lr: float):
        result = real(self, micro_batches, lr)
        calls.append(None)
        return type(result)(
            terms=result.terms, loss=result.loss * (5 if len(calls) == 30 else 1), gradient_norm=result.gradient_norm
        )

    monkeypatch.setattr(Updater, "update", update)
    run = pretrain(make_run_config("spike", **changes))
    (record,) = map(json.loads, RunFolder(run).skipped_steps.read_text("utf-8").splitlines())
    assert (record["step"], record["reason"], len(record["samples"])) == (30, "loss spike", 4)
    assert "loss spike at step 30" in caplog.text
