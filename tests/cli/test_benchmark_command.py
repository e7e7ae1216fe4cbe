import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sycoca.cli.main import main
from sycoca.experiments.benchmark import benchmark as module
from sycoca.experiments.benchmark import machine as benchmark_machine
from sycoca.experiments.benchmark import timing as benchmark_timing
from sycoca.experiments.benchmark.settings import ROWS

FAST = ["--rows", "copy_rate", "embed_texts", "--batch-size", "2", "--runs", "1", "--device", "cpu"]


@pytest.fixture(autouse=True)
def _in_small(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(benchmark_machine, "MATRIX_SIDES", {"cpu": (32,)})
    monkeypatch.setattr(benchmark_machine, "COPIED_BYTES", 2**20)
    monkeypatch.setattr(benchmark_timing, "SHORTEST_RUN_SECONDS", 0.0)


@pytest.fixture
def is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return a function that runs an invalid command, which measures nothing, and returns its error line."""
    monkeypatch.setattr(module, "benchmark", lambda *_, **__: pytest.fail("it has begun to measure"))

    def run(*arguments: object) -> str:
        assert main(["benchmark", *map(str, arguments)]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.count("\n") == 1
        return captured.err

    return run


def test_help_imports_no_torch():
    code = (
        "import sys; from sycoca.cli.main import main\n"
        "try: main(['benchmark', '--help'])\n"
        "finally: assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--retrieval-images" in done.stdout
    for group in ROWS.values():
        for name, what in group.items():
            assert f"  {name} " in done.stdout
            assert what in done.stdout


def test_prints_a_table(capsys: pytest.CaptureFixture[str]):
    assert main(["benchmark", *FAST]) == 0
    captured = capsys.readouterr()
    rows = [line.split()[0] for line in captured.out.splitlines() if line.split()]
    assert [name for name in rows if "_" in name] == ["matrix_peak", "copy_rate", "embed_texts"]
    assert "building preset tiny on cpu" in captured.err
    assert "building" not in captured.out


def test_prints_json(capsys: pytest.CaptureFixture[str]):
    assert main(["benchmark", *FAST, "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert plain["task"] == "benchmark"
    assert plain["settings"]["batch_size"] == 2
    assert plain["settings"]["runs"] == 1
    assert list(plain["rows"]) == ["matrix_peak", "copy_rate", "embed_texts"]


def test_writes_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "new" / "speed.json"
    assert main(["benchmark", *FAST, "--out", str(out)]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"benchmark in {out}" in captured.err.replace("\n", "")
    assert json.loads(out.read_text())["rows"]["embed_texts"]["items"] == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--preset", "tinny"], "there is no preset 'tinny'; did you mean 'tiny'?"),
        (["--rows", "train_al"], "there is no row 'train_al'; did you mean 'train_all'?"),
        (["--rows", "matrix_peak_bf16"], "row matrix_peak_bf16 is measured with --precision bf16 only"),
        (["--batch-size", "0"], "batch_size must be at least 1, got 0"),
        (["--threads", "0"], "threads must lie between 1 and"),
        (["--runs", "-1"], "runs must be at least 1, got -1"),
    ],
)
def test_wrong_options_give_an_error_of_one_line(is_refused: Callable[..., str], arguments: list[str], said: str):
    assert is_refused(*arguments).startswith(f"sycoca benchmark: {said}")


def test_a_folder_is_not_a_file(is_refused: Callable[..., str], tmp_path: Path):
    assert is_refused("--out", tmp_path) == f"sycoca benchmark: {tmp_path} is a folder; name a file\n"


def test_a_missing_device_gives_an_error_of_one_line(capsys: pytest.CaptureFixture[str]):
    assert main(["benchmark", "--device", "gpu"]) == 1
    assert capsys.readouterr().err == "sycoca benchmark: 'gpu' is no device; use auto, cpu, cuda, cuda:1 or mps\n"
