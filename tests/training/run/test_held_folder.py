"""Run folders are held by the process that trains there."""

from dataclasses import replace
from pathlib import Path

import pytest

from sycoca.outputs.errors import LeaseLostError, OutputError, OutputInterrupted
from sycoca.outputs.lease import Lease, lease_inside
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
        (run / "config.yaml").rename(run / "moved.yaml")
        (run / "checkpoints").rename(run / "moved")
        with pytest.raises(OutputError, match="run is being written by this very process"):
            pretrain(config)
        (run / "moved.yaml").rename(run / "config.yaml")
        (run / "moved").rename(run / "checkpoints")
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
