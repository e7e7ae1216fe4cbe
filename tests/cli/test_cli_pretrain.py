import signal
from contextlib import nullcontext
from pathlib import Path

import pytest

from sycoca.cli.main import main
from sycoca.plain_data import to_plain, write_yaml
from sycoca.presets.pretrain import PRESETS, pretrain_preset
from sycoca.training.engine.interruption import StopSignal
from sycoca.training.engine.tracking import read_metrics
from sycoca.training.recipes.pretraining.config import PretrainConfig
from sycoca.training.run_folder import RunFolder

SHORT = [
    "--training.steps=2",
    "--training.global-batch-size=4",
    "--training.log_every=1",
    "--training.no-tensorboard",
    "--data.train=scenes:?count=6&size=16",
    "--data.validation=None",
    "--model.image-encoder.depth=1",
    "--runtime.device=cpu",
]


def test_help_names_every_preset(capsys):
    assert main(["pretrain", "--help"]) == 0
    text = capsys.readouterr().out
    for name in PRESETS:
        assert f"  {name} " in text
    assert "Smallest model that learns the built-in scenes" in text


def test_help_of_a_preset_shows_its_values(capsys):
    assert main(["pretrain", "vit_l14", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "--model.image-encoder.width N Features per token. (default: 1024)" in text


def test_run_folder_goes_to_stdout_and_the_rest_to_stderr(tmp_path: Path, capsys):
    assert main(["pretrain", "tiny", "--out", str(tmp_path / "run"), *SHORT]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{tmp_path / 'run'}\n"
    assert "step 2/2" in captured.err
    assert "weights in" in captured.err
    assert (tmp_path / "run" / "weights" / "model.safetensors").exists()


def test_flag_wins_over_file_and_file_over_preset(tmp_path: Path):
    write_yaml(
        tmp_path / "part.yaml", {"optimizer": {"peak_lr": 0.25, "eps": 1e-3}, "model": {"text_encoder": {"depth": 1}}}
    )
    arguments = ["--config", str(tmp_path / "part.yaml"), "--optimizer.eps", "1e-2", "--out", str(tmp_path / "run")]
    assert main(["pretrain", "tiny", *arguments, *SHORT]) == 0
    config = RunFolder(tmp_path / "run").read_config(PretrainConfig)
    tiny = pretrain_preset("tiny")
    assert (config.optimizer.eps, config.optimizer.peak_lr) == (1e-2, 0.25)
    assert config.optimizer.weight_decay == tiny.optimizer.weight_decay
    assert config.model.text_encoder.depth == 1
    assert config.model.text_encoder.width == tiny.model.text_encoder.width


@pytest.mark.parametrize("where", ["flags", pytest.param("file", marks=pytest.mark.slow)])
@pytest.mark.parametrize("own", [None, "scenes:?count=5&size=16"])
def test_validation_of_a_preset_is_left_out_with_its_training_data(tmp_path: Path, capsys, where: str, own: str | None):
    short = [flag for flag in SHORT if not flag.startswith("--data.")]
    data = {"train": "scenes:?count=6&size=16", **({} if own is None else {"validation": own})}
    if where == "file":
        write_yaml(tmp_path / "data.yaml", {"data": data})
        short += ["--config", str(tmp_path / "data.yaml")]
    else:
        short += [f"--data.{name}={value}" for name, value in data.items()]
    assert main(["pretrain", "tiny", "--out", str(tmp_path / "run"), *short]) == 0
    assert RunFolder(tmp_path / "run").read_config(PretrainConfig).data.validation == own
    told = "no validation; set its data with --data.validation\n"
    assert (told in capsys.readouterr().err) == (own is None)


def test_config_of_a_run_starts_the_same_run(tmp_path: Path):
    assert main(["pretrain", "tiny", "--out", str(tmp_path / "one"), *SHORT]) == 0
    config_path = str(tmp_path / "one" / "config.yaml")
    assert main(["pretrain", f"--config={config_path}", "--out", str(tmp_path / "two")]) == 0
    one, two = (read_metrics(tmp_path / name / "metrics.jsonl") for name in ("one", "two"))
    assert [line["contrastive"] for line in one] == [line["contrastive"] for line in two]
    assert len(one) == 2


def test_resume_goes_on_even_in_a_folder_that_was_moved(tmp_path: Path, capsys):
    assert main(["pretrain", "tiny", "--out", str(tmp_path / "run"), *SHORT]) == 0
    (tmp_path / "run").rename(tmp_path / "moved")
    assert main(["pretrain", "--resume", str(tmp_path / "moved"), "--training.steps", "3"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(tmp_path / "moved")
    assert [line["step"] for line in read_metrics(tmp_path / "moved" / "metrics.jsonl")] == [1, 2, 3]


SEVERAL = ("--objectives.captions-per-image", "3")
"""The first update of a dry run is on a few pairs, whose further captions it leaves out."""


def test_dry_run_reports_and_trains_nothing(tmp_path: Path, capsys):
    assert main(["pretrain", "tiny", "--dry-run", "--out", str(tmp_path / "run"), *SHORT, *SEVERAL]) == 0
    text = capsys.readouterr().out
    assert "images per second" in text
    assert "text_decoder" in text
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["first_batch.png"]


def stopped(self: StopSignal) -> None:
    self._number = signal.SIGTERM
    self._handled = nullcontext()
    self._launcher = None


def test_interrupted_run_says_how_to_go_on(tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(StopSignal, "__init__", stopped)
    run_dir = tmp_path / "run"
    assert main(["pretrain", "tiny", "--out", str(run_dir), *SHORT]) == 143
    assert f"resume with:\n  sycoca pretrain --resume {run_dir}\n" in capsys.readouterr().err
    monkeypatch.undo()
    assert main(["pretrain", "--resume", str(run_dir)]) == 0
    assert [line["step"] for line in read_metrics(run_dir / "metrics.jsonl")] == [1, 2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tinny"], "there is no preset 'tinny'; did you mean 'tiny'?"),
        (["--training.steps", "3"], "name a preset first (tiny, small"),
        (["--resume", "RUN", "--dry-run"], "--resume takes the run's own config"),
        (["tiny", "--resume", "RUN"], "--resume takes the run's own config"),
        (["--resume", "nowhere"], "nowhere is not a run folder: it has no config.yaml"),
        (["--config", "nowhere.yaml"], "--config nowhere.yaml is not a file"),
    ],
)
def test_wrong_usage_is_told_in_one_line(capsys, arguments: list[str], message: str):
    assert main(["pretrain", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"sycoca pretrain: {message}")
    assert error.count("\n") == 1


@pytest.mark.parametrize("preset", [[], ["tiny"]])
def test_mistyped_key_in_a_file_is_wrong_usage(tmp_path: Path, capsys, preset: list[str]):
    plain = to_plain(pretrain_preset("tiny"))
    write_yaml(tmp_path / "config.yaml", {**plain, "training": {**plain["training"], "stesp": 3}})
    assert main(["pretrain", *preset, "--config", str(tmp_path / "config.yaml")]) == 2
    error = capsys.readouterr().err
    assert error == "sycoca pretrain: config.training.stesp is not a known key; did you mean 'steps'?\n"


@pytest.mark.parametrize(
    ("flags", "hint"),
    [
        (["--training.stps", "3"], "there is no --training.stps; did you mean '--training.steps'?"),
        (["--masking.strategy", "atentive"], "--masking.strategy is 'atentive'; did you mean 'attentive'?"),
        (["--training.steps", "0"], "training.steps must be at least 1, got 0"),
        (["--training.steps", "many"], "--training.steps must be a whole number, got 'many'"),
        (["--optimizer.betas", "0.9"], "--optimizer.betas needs 2 values: --optimizer.betas X X"),
        (["--config"], "--config needs a value"),
    ],
)
def test_mistyped_flag_is_wrong_usage(capsys, flags: list[str], hint: str):
    assert main(["pretrain", "tiny", *flags]) == 2
    assert capsys.readouterr().err == f"sycoca pretrain: {hint}\n"


def test_error_of_a_run_is_one_line(tmp_path: Path, capsys):
    assert main(["pretrain", "tiny", "--out", str(tmp_path / "run"), "--data.train", "nowhere.jsonl"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("sycoca pretrain: ")
    assert "nowhere.jsonl" in error
    assert error.count("\n") == 1
