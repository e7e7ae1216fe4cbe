"""The examples run unchanged, with fewer steps.

The notebook's cells are executed in order by a few lines here: it uses no magic, and a kernel with its two dozen
packages would test Jupyter, not the notebook.
"""

import csv
import json
import runpy
import sys
from pathlib import Path

import pytest

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


def test_the_notebook_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    cells = [cell for cell in json.loads(NOTEBOOK.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]
    code = ["".join(cell["source"]) for cell in cells]
    assert code[0].count("STEPS = 200\n") == 1
    code[0] = code[0].replace("STEPS = 200\n", "STEPS = 1\n")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for source in code:
        exec(source, names)
    assert (tmp_path / "runs" / "explore" / "explained.png").is_file()
    assert (tmp_path / "runs" / "explore" / "similarities.png").is_file()


def test_the_notebook_is_committed_without_outputs():
    cells = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells if "outputs" in cell)
