"""The examples run unchanged, with fewer steps.

The notebook's cells are executed in order by docs/run_notebook.py: they use no magic, and a kernel with its two dozen
packages would test Jupyter, not the notebook.
"""

import csv
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from builders.benchmark_scripts import docs_script

run_notebook = docs_script("run_notebook")
EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPT = EXAMPLES / "pretrain_your_photos.py"
NOTEBOOK = EXAMPLES / "explore.ipynb"


def run_script(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *arguments])
    runpy.run_path(str(SCRIPT), run_name="__main__")


def test_the_script_generates_trains_captions_and_searches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    run_script(monkeypatch, "--out", str(tmp_path / "out"), "--steps", "2", "--count", "40")
    said = capsys.readouterr().out
    assert "caption of 0000.png: " in said
    assert 'best match for "' in said
    assert (tmp_path / "out" / "run" / "report.html").is_file()
    # The same with given images and a given list: the generated ones, with a byte order mark as Excel writes.
    pictures, listing = tmp_path / "out" / "pictures", tmp_path / "mine.csv"
    rows = list(csv.DictReader((pictures / "captions.csv").read_text("utf-8").splitlines()))
    listing.write_text("\ufeffimage,caption\n" + "".join(f"{row['image']},{row['caption']}\n" for row in rows), "utf-8")
    run_script(
        monkeypatch, "--images", str(pictures), "--list", str(listing), "--out", str(tmp_path / "own"), "--steps", "1"
    )
    assert (tmp_path / "own" / "run" / "weights" / "model.safetensors").is_file()
    assert not (tmp_path / "own" / "pictures").exists()


def test_the_script_refuses_half_of_what_it_needs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit, match="2"):
        run_script(monkeypatch, "--images", "photos")
    assert "--images and --list belong together" in capsys.readouterr().err


def kinds(outputs: list[dict[str, Any]]) -> list[str]:
    """Return what a cell shows: a stream, or the formats of its value."""
    return [one["output_type"] if "data" not in one else "+".join(sorted(one["data"])) for one in outputs]


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom_and_shows_what_it_is_committed_with(tmp_path: Path):
    notebook = json.loads(NOTEBOOK.read_text("utf-8"))
    committed = [kinds(cell["outputs"]) for cell in run_notebook.code_cells(notebook)]
    first = run_notebook.code_cells(notebook)[0]
    assert first["source"].count("STEPS = 200\n") == 1
    first["source"] = [line.replace("STEPS = 200", "STEPS = 1") for line in first["source"]]
    shorter = tmp_path / "shorter.ipynb"
    shorter.write_text(json.dumps(notebook), "utf-8")
    # In a process without the shape checker, which would take five times as long for all the scenes.
    command = [sys.executable, run_notebook.__file__, str(shorter)]
    done = subprocess.run(command, env={**os.environ, "JAXTYPING_DISABLE": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(shorter.read_text("utf-8"))
    assert [kinds(cell["outputs"]) for cell in run_notebook.code_cells(found)] == committed
    assert any("image/png" in shown for cell in committed for shown in cell)


def test_outputs_of_the_notebook_are_those_of_its_code():
    notebook = json.loads(NOTEBOOK.read_text("utf-8"))
    hashes = [cell["metadata"].get(run_notebook.HASH) for cell in run_notebook.code_cells(notebook)]
    assert hashes == run_notebook.hashes_of_code(notebook), "run: python docs/run_notebook.py examples/explore.ipynb"
    assert NOTEBOOK.stat().st_size < 300_000


def test_a_changed_cell_changes_its_hash_and_those_of_all_after_it():
    notebook = json.loads(NOTEBOOK.read_text("utf-8"))
    before = run_notebook.hashes_of_code(notebook)
    run_notebook.code_cells(notebook)[1]["source"].append("\n# changed")
    after = run_notebook.hashes_of_code(notebook)
    assert [old == new for old, new in zip(before, after, strict=True)] == [True] + [False] * (len(before) - 1)


def test_a_cell_keeps_what_it_prints_and_its_last_value():
    printed, value = run_notebook.outputs_of("print(1)\n2 + 2", {}, 7)
    assert (printed["text"], value["data"], value["execution_count"]) == (["1\n"], {"text/plain": ["4"]}, 7)
    assert run_notebook.outputs_of("x = 1", {}, 1) == []
