"""Whoever imports the library decides what is shown of a run; its log.txt has everything."""

import logging
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from sycoca.training.engine.interruption import TrainingInterrupted
from sycoca.training.engine.update import Updater
from sycoca.training.pretrain import pretrain, resume_pretraining

PAIRS = [(Image.new("RGB", (16, 16), color), f"a {color} picture") for color in ("red", "blue", "green")]

_TIME_AND_PACE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  |  [\d,]+ images/s.*")


def log_of(run: Path) -> list[str]:
    """Return the lines of a run's log, without times."""
    text = (run / "log.txt").read_text(encoding="utf-8").replace(str(run), "RUN")
    return [_TIME_AND_PACE.sub("", line) for line in text.splitlines()]


def test_importing_shows_nothing():
    code = (
        "import logging, sycoca, sycoca.training.pretrain, sycoca.evaluation.evaluate_all\n"
        "logging.getLogger('sycoca.somewhere').warning('unheard')\n"
        "assert logging.getLogger('sycoca').level == logging.NOTSET\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_training_shows_nothing_unless_logging_is_configured(make_run_config, capfd: pytest.CaptureFixture[str]):
    run = pretrain(make_run_config(), PAIRS)
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")
    assert any("3 samples of pairs" in line for line in log_of(run))


def test_messages_of_training_come_from_the_modules_that_say_them(make_run_config, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "sycoca")
    run = pretrain(make_run_config(), PAIRS)
    assert {record.name for record in caplog.records} >= {
        "sycoca.training.run.training_run",
        "sycoca.training.engine.run_progress",
    }
    shown = [_TIME_AND_PACE.sub("", text.replace(str(run), "RUN")) for text in caplog.messages]
    assert shown == log_of(run)


def test_the_log_of_a_resumed_run_has_every_step_once(make_run_config, monkeypatch: pytest.MonkeyPatch):
    whole, config = pretrain(make_run_config("whole"), PAIRS), make_run_config("resumed")
    update, steps = Updater.update, []

    def interrupted(self: Updater, *arguments: object):
        steps.append(1)
        if len(steps) == 2:
            signal.raise_signal(signal.SIGINT)
        return update(self, *arguments)  # pyright: ignore[reportArgumentType]

    with monkeypatch.context() as patch:
        patch.setattr(Updater, "update", interrupted)
        with pytest.raises(TrainingInterrupted):
            pretrain(config, PAIRS)
    run = resume_pretraining(config, PAIRS)
    told = [line for line in log_of(run) if line.startswith("step ")]
    assert told == [line for line in log_of(whole) if line.startswith("step ")]
    assert len(told) == 4
    assert "resuming after step 2" in log_of(run)
    assert log_of(run)[-1] == log_of(whole)[-1] == "weights in RUN/weights"
    handlers = logging.getLogger("sycoca").handlers
    assert not [handler for handler in handlers if isinstance(handler, logging.FileHandler)]
