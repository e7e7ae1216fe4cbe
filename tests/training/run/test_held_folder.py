"""Run folders are held by the process that trains there."""

import errno
from dataclasses import replace
from pathlib import Path

import pytest

from sycoca.outputs.errors import LeaseLostError, OutputError, OutputInterrupted
from sycoca.outputs.lease import Lease, lease_inside
from sycoca.training.engine.checkpoints.run_checkpoints import RunCheckpoints
from sycoca.training.engine.tracking import MetricsFile
from sycoca.training.engine.update import Updater
from sycoca.training.pretrain import pretrain, resume_pretraining


def content(run: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(run.rglob("*")) if path.is_file() and path.name != ".lease"}


def test_a_run_that_is_trained_is_neither_resumed_nor_started_again(make_run_config):
    config = make_run_config()
    run = pretrain(config)
    assert not lease_inside(run).exists()
    before = content(run)
    with Lease(lease_inside(run), run):
        with pytest.raises(OutputError, match="run is being written by this very process"):
            resume_pretraining(config)
        names = ("config.yaml", "tokenizer.json", "checkpoints")
        for name in names:
            (run / name).rename(run / f"moved {name}")
        with pytest.raises(OutputError, match="run is being written by this very process"):
            pretrain(config)
        for name in names:
            (run / f"moved {name}").rename(run / name)
    assert content(run) == before
    resume_pretraining(config)


def test_a_folder_that_cannot_be_a_run_is_told_before_data_is_opened(make_run_config, tmp_path: Path):
    (tmp_path / "file").touch()
    config = make_run_config()
    for out, said in (("file", "file is a file; name a folder"), ("file/run", "is not a folder")):
        object.__setattr__(config, "out", str(tmp_path / out))
        object.__setattr__(config.data, "train", "nowhere")
        with pytest.raises(OutputError, match=said):
            pretrain(config)


@pytest.mark.parametrize("log_every", [1, 3])
def test_a_run_that_another_process_has_taken_over_saves_nothing_more(
    make_run_config, monkeypatch: pytest.MonkeyPatch, log_every: int
):
    config, update = make_run_config(), Updater.update
    config = replace(config, training=replace(config.training, log_every=log_every, save_every=1))

    def lose(self: Updater, *arguments: object) -> object:
        monkeypatch.setattr(Lease, "check", lost)
        return update(self, *arguments)  # pyright: ignore[reportArgumentType]

    def lost(_: Lease) -> None:
        raise LeaseLostError("taken over")

    monkeypatch.setattr(Updater, "update", lose)
    with pytest.raises(LeaseLostError):
        pretrain(config)
    run = Path(config.out)
    assert not list((run / "checkpoints").iterdir())
    assert not (run / "metrics.jsonl").exists()


def test_a_run_that_is_taken_over_after_its_last_step_writes_neither_weights_nor_report(
    make_run_config, monkeypatch: pytest.MonkeyPatch
):
    config, are_finite = make_run_config(), RunCheckpoints.are_weights_finite
    steps: list[int] = []

    def lose(self: RunCheckpoints) -> bool:
        steps.append(1)
        if len(steps) == 2:  # after that of the last checkpoint
            monkeypatch.setattr(Lease, "check", lost)
        return are_finite(self)

    def lost(_: Lease) -> None:
        raise LeaseLostError("taken over")

    config = replace(config, training=replace(config.training, save_every=config.training.steps))
    monkeypatch.setattr(RunCheckpoints, "are_weights_finite", lose)
    with pytest.raises(LeaseLostError):
        pretrain(config)
    assert (Path(config.out) / "checkpoints" / f"step-{config.training.steps:08d}").is_dir()
    assert not (Path(config.out) / "weights").exists()
    assert not (Path(config.out) / "report.html").exists()


def test_a_tracker_that_cannot_be_closed_does_not_hide_why_a_run_ends(
    make_run_config, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def fails(*_: object) -> None:
        raise FloatingPointError("the reason")

    def is_full(_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "events")

    monkeypatch.setattr(Updater, "update", fails)
    monkeypatch.setattr(MetricsFile, "close", is_full)
    with pytest.raises(FloatingPointError, match="the reason"):
        pretrain(make_run_config())
    assert "MetricsFile was not closed: [Errno 28] No space left on device" in caplog.text


def test_an_interruption_names_the_command_that_resumes(make_run_config, monkeypatch: pytest.MonkeyPatch):
    config = make_run_config()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Updater, "update", interrupt)
    with pytest.raises(OutputInterrupted, match="run has what was done") as caught:
        pretrain(config)
    assert caught.value.remains.command == f"sycoca pretrain --resume {config.out}"
    assert not lease_inside(Path(config.out)).exists()
    monkeypatch.undo()
    assert (resume_pretraining(config) / "weights").is_dir()
