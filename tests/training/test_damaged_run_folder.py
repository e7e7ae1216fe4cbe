"""Damaged files of a run folder; reliability/test_damaged_state.py tries every file with every damage."""

import shutil
from pathlib import Path

import pytest

from builders.damages import empty, flip, halve, make_file, prepend, remove, zero
from builders.interrupted_runs import differences, finished_run, interrupted_run, values
from builders.old_checkpoints import make_format_1
from sycoca.cli.main import main
from sycoca.plain_data import read_yaml, write_yaml
from sycoca.training.run_folder import RunFolder

LINES = ("metrics.jsonl", "skipped.jsonl", "skipped_validation.jsonl", "skipped_steps.jsonl")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run(tmp_path_factory.mktemp("finished"))


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return interrupted_run(finished, tmp_path)


def resume(run: Path, capsys: pytest.CaptureFixture[str], *flags: str) -> tuple[int, str]:
    capsys.readouterr()
    return main(["pretrain", "--resume", str(run), *flags]), capsys.readouterr().err


def test_everything_damaged_at_once_changes_no_weight(run: Path, finished: Path, capsys):
    for name in LINES:
        prepend("NUL", bytes(20) + b"\n")(run / name)
    halve(run / "config.yaml")
    flip(0.5)(run / "tokenizer.json")
    remove(run / "start.json")
    empty(run / "checkpoints" / "step-00000004" / "optimizer.safetensors")
    code, said = resume(run, capsys)
    assert code == 0, said
    assert differences(finished, run) == []
    assert values(run) == values(finished)
    for line in (
        *(f"{run / name}: line 1 is no record of this file; moved to {run / name}.damaged" for name in LINES),
        f"{run}/config.yaml is truncated; it is now config.yaml.damaged, and its copy in {run}/check",
        f"{run}/tokenizer.json differs from its copy; it is now tokenizer.json.damaged, and its copy in {run}/check",
        f"{run}/start.json is missing, and its copy in {run}/checkpoints/step-00000004 takes its place",
        f"{run}/checkpoints/step-00000004/optimizer.safetensors is emptied; the checkpoint is now step-",
    ):
        assert line in said
    code, said = resume(run, capsys, "--training.steps", "7")
    assert code == 0, said
    assert ".damaged" not in said, "what was healed is not reported again"
    assert "settings that differ from those of the newest checkpoint: training.steps" in said


def test_a_config_may_be_edited_but_not_where_the_checkpoints_depend_on_it(run: Path, capsys):
    plain = read_yaml(run / "config.yaml")
    assert isinstance(plain, dict)
    plain["optimizer"]["peak_lr"] = 0.02
    write_yaml(run / "config.yaml", plain)
    code, said = resume(run, capsys)
    assert code == 0, said
    assert "settings that differ from those of the newest checkpoint: optimizer.peak_lr" in said
    write_yaml(run / "config.yaml", {**plain, "seed": 5})
    code, said = resume(run, capsys)
    assert (code, said.count("\n")) == (1, 1)
    assert "seed cannot change when a run is resumed" in said


@pytest.mark.parametrize(("damage", "said"), [(empty, "is emptied"), (zero, "holds a NUL"), (remove, "has no config")])
def test_without_a_copy_one_line_names_the_config(damage, said: str, run: Path, capsys):
    make_format_1(run)
    damage(run / "config.yaml")
    code, error = resume(run, capsys)
    assert code == 2
    assert error.startswith(f"sycoca pretrain: {run}")
    assert said in error
    assert len(error.splitlines()) <= 2


def test_a_tokenizer_is_made_again_before_the_first_checkpoint(run: Path, capsys):
    shutil.rmtree(run / "checkpoints")
    plain = read_yaml(run / "config.yaml")
    assert isinstance(plain, dict)
    plain["start"]["weights"] = None
    write_yaml(run / "config.yaml", plain)
    zero(run / "tokenizer.json")
    code, said = resume(run, capsys, "--training.steps", "1")
    assert code == 0, said
    assert "it is now tokenizer.json.damaged, and the tokenizer is made again" in said
    assert "there is no checkpoint in" in said


def test_a_file_in_the_place_of_the_checkpoints_ends_the_resume(run: Path, capsys):
    make_file(run / "checkpoints")
    code, said = resume(run, capsys)
    assert code in (1, 2)
    assert "checkpoints is not a folder; put the run's checkpoints there, or start a new run" in said


def test_a_new_run_does_not_begin_among_the_checkpoints_of_another(run: Path, capsys):
    config = RunFolder(run).config
    (run / "copy.yaml").write_bytes(config.read_bytes())
    config.unlink()
    assert main(["pretrain", "--config", str(run / "copy.yaml"), "--out", str(run)]) == 2
    assert "already holds a run; resume it with: sycoca pretrain --resume" in capsys.readouterr().err
