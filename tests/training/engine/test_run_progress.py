import io
from pathlib import Path

from rich.console import Console

from sycoca.training.engine.progress import RunProgress, quiet_console

VALUES = {
    "contrastive": 1.23456,
    "captioning": 0.5,
    "lr": 0.00025,
    "gradient_norm": 3.0,
    "images_per_second": 1234.5,
    "samples_seen": 1280,
}


def run(console: Console, log_path: Path | None) -> None:
    progress = RunProgress(steps=100, first_step=0, console=console, log_path=log_path)
    progress.line("begins")
    for step in (1, 2):
        progress.advance(step)
    progress.log(2, {**VALUES, "validation_captioning": 0.75, "validation_text_to_image_recall_at_1": 0.5})
    progress.log(3, {"validation_captioning": 0.25})
    progress.close()


def test_plain_lines_where_there_is_no_terminal(tmp_path: Path):
    text = io.StringIO()
    run(Console(file=text, force_terminal=False, width=40), tmp_path / "log.txt")
    lines = text.getvalue().splitlines()
    assert lines[0] == "begins"
    assert lines[1].startswith("step 2/100  contrastive 1.23  captioning 0.5  lr 0.00025  1,234 images/s  0:00:")
    assert lines[1].endswith(" left")
    assert lines[2] == "step 2  validation  captioning 0.75  text-to-image R@1 0.5"
    assert lines[3] == "step 3  validation  captioning 0.25"
    logged = (tmp_path / "log.txt").read_text(encoding="utf-8").splitlines()
    assert [line.split("  ", 1)[1] for line in logged] == lines


def test_bar_with_rate_and_losses_on_a_terminal(tmp_path: Path):
    text = io.StringIO()
    run(Console(file=text, force_terminal=True, width=140, _environ={}), tmp_path / "log.txt")
    shown = text.getvalue()
    assert "2/100" in shown
    assert "contrastive 1.23  captioning 0.5  lr 0.00025  1,234 images/s" in shown
    assert "validation  captioning 0.75" in shown
    assert "contrastive 1.23" in (tmp_path / "log.txt").read_text(encoding="utf-8")


def test_first_step_has_no_pace_yet():
    text = io.StringIO()
    progress = RunProgress(steps=9, first_step=4, console=Console(file=text, force_terminal=False), log_path=None)
    progress.advance(5)
    progress.log(5, VALUES)
    progress.close()
    assert "unknown time left" in text.getvalue()


def test_quiet_console_says_nothing(capsys):
    run(quiet_console(), None)
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""


def test_log_of_a_resumed_run_goes_on(tmp_path: Path):
    for _ in range(2):
        run(quiet_console(), tmp_path / "log.txt")
    assert (tmp_path / "log.txt").read_text(encoding="utf-8").count("begins") == 2
