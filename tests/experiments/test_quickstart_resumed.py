"""A quickstart that is interrupted anywhere continues there, and ends with the figures of an uninterrupted one."""

import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

from builders import small_quickstart
from builders.small_quickstart import make_quickstart_small
from sycoca.cli.main import main
from sycoca.experiments.quickstart import quickstart as module
from sycoca.experiments.quickstart import tasks
from sycoca.experiments.quickstart.progress import QuickstartOptions, QuickstartProgress
from sycoca.experiments.quickstart.quickstart import QuickstartResult, quickstart

STEPS = 3


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        make_quickstart_small(patch)
        yield


def run(out: Path) -> QuickstartResult:
    return quickstart(out, steps=STEPS, console=Console(file=io.StringIO()))


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> QuickstartResult:
    return run(tmp_path_factory.mktemp("runs") / "whole")


def measured(result: QuickstartResult) -> dict[str, float]:
    return {name: value for name, value in result.metrics.items() if not name.endswith("_seconds")}


def shown(result: QuickstartResult) -> list[str]:
    """Return the page's figures, pictures and captions."""
    html = result.page.read_text()
    return re.findall(r'class="(?:value|evidence|note|said|reference)">[^<]*|src="[^"]*"', html)


def times_of(result: QuickstartResult) -> list[float]:
    return [value for name, value in result.metrics.items() if name.endswith("_seconds")]


INTERRUPTED = {
    "pretraining": (module, "pretrain"),
    "evaluation": (tasks, "evaluate_zero_shot"),
    "fine-tuning": (tasks, "finetune"),
    "last evaluation": (tasks, "evaluate_classification"),
    "page": (module, "save_page"),
}


@pytest.mark.slow
def test_continues_wherever_it_was_interrupted(
    uninterrupted: QuickstartResult, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    calls: dict[str, int] = {}

    def counted(name: str, function: Callable[..., object]) -> Callable[..., object]:
        def call(*words: object, **named: object) -> object:
            calls[name] = calls.get(name, 0) + 1
            return function(*words, **named)

        return call

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks, "evaluate_retrieval", counted("retrieval", tasks.evaluate_retrieval))
        for place, name in INTERRUPTED.values():
            with pytest.MonkeyPatch.context() as inner:
                inner.setattr(place, name, _interrupt)
                with pytest.raises(KeyboardInterrupt):
                    run(tmp_path)
        result = run(tmp_path)
        assert calls == {"retrieval": 1}
        assert measured(result) == measured(uninterrupted)
        assert shown(result) == shown(uninterrupted)
        assert all(seconds > 0 for seconds in times_of(result))
        # Finished: nothing is done again, the page is not written again.
        patch.setattr(module, "save_page", _interrupt)
        with caplog.at_level("INFO", "sycoca"):
            assert run(tmp_path).metrics == result.metrics
        assert f"the quickstart in {tmp_path} is finished; --restart begins it from scratch" in caplog.text


def _interrupt(*_: object, **__: object) -> object:
    raise KeyboardInterrupt


class Program:
    """A small quickstart as a process of its own."""

    def __init__(self, arguments: list[str]) -> None:
        words = [sys.executable, str(Path(small_quickstart.__file__)), *arguments]
        paths = [str(Path(small_quickstart.__file__).parents[1]), *sys.path]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        self._process = subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE)

    def end(self, number: signal.Signals, after: Callable[[], bool]) -> tuple[int, str]:
        """Send a signal once a condition holds; return the exit code and what was said."""
        until = time.monotonic() + 240
        while not after() and self._process.poll() is None and time.monotonic() < until:
            time.sleep(0.002)
        self._process.send_signal(number)
        _, errors = self._process.communicate()
        return self._process.returncode, errors.decode()


@pytest.mark.slow
def test_after_a_kill_in_training_it_ends_with_the_same_figures(uninterrupted: QuickstartResult, tmp_path: Path):
    out = tmp_path / "run"
    words = ["quickstart", "--out", str(out), "--steps", str(STEPS)]
    code, _ = Program(words).end(signal.SIGKILL, lambda: any_line(out))
    assert code == -signal.SIGKILL
    code, _ = Program(words).end(signal.SIGKILL, lambda: any_line(out / "vqa"))
    assert code == -signal.SIGKILL
    result = run(out)
    assert measured(result) == measured(uninterrupted)
    assert shown(result) == shown(uninterrupted)
    sessions = json.loads((out / "quickstart.json").read_text())["sessions"]
    assert [one["training"] for one in sessions][:2] == ["pretraining", "pretraining"]
    assert all(one["seconds"] >= 0 for one in sessions)


def any_line(folder: Path) -> bool:
    metrics = folder / "metrics.jsonl"
    return metrics.exists() and metrics.stat().st_size > 0


@pytest.mark.parametrize("place", ["training", pytest.param("evaluation", marks=pytest.mark.slow)])
def test_ctrl_c_says_the_command_that_finishes_everything(place: str, tmp_path: Path):
    out = tmp_path / "my run"
    words = ["quickstart", "--out", str(out), "--steps", "400", "--seed", "1"]
    if place == "evaluation":
        words[4] = str(STEPS)
    begun = (lambda: any_line(out)) if place == "training" else (out / "reports" / "retrieval.json").exists
    code, said = Program(words).end(signal.SIGINT, begun)
    assert code == 130, said
    command = said.strip().splitlines()[-1].partition("continue with: ")[2]
    assert shlex.split(command)[1:] == [*words[:3], "--seed", "1", "--steps", words[4]]
    assert "pretrain --resume" not in said


def test_other_options_are_refused_with_the_right_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    QuickstartProgress(tmp_path, QuickstartOptions(seed=3, steps=7))
    assert main(["quickstart", "--out", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert f"continue it with sycoca quickstart --out {tmp_path} --seed 3 --steps 7," in error


def test_what_a_killed_start_leaves_is_no_obstacle(tmp_path: Path):
    (tmp_path / ".quickstart.json.partial").touch()
    QuickstartProgress(tmp_path, QuickstartOptions(seed=0, steps=None))
    assert (tmp_path / "quickstart.json").exists()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"options": 5}', "\0\0"])
def test_a_damaged_record_of_its_times_is_renamed(content: str, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    options = QuickstartOptions(seed=0, steps=STEPS)
    QuickstartProgress(tmp_path / "run", options)
    path = tmp_path / "run" / "quickstart.json"
    path.write_text(content, encoding="utf-8")
    assert QuickstartProgress(tmp_path / "run", options).seconds("vqa") == 0
    QuickstartProgress(tmp_path / "run", options)
    assert path.with_name("quickstart.json.damaged").read_text(encoding="utf-8") == content
    assert str(path) in caplog.messages[0]
    assert "the times of earlier sessions are lost" in caplog.messages[0]
