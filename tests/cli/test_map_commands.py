"""``sycoca map``: what it says; the functions behind it have tests of their own."""

import json
import re
from pathlib import Path

import pytest

from builders.predictors import save_small_weights
from builders.twelve_pictures import caption_lines, write_lines, write_pictures
from sycoca.cli.main import main


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small_weights(tmp_path_factory.mktemp("model") / "weights")


@pytest.fixture
def words(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    write_pictures(tmp_path)
    write_lines(tmp_path / "captions.jsonl", caption_lines())
    monkeypatch.chdir(tmp_path)
    return ["map", "caption", str(weights), "captions.jsonl", "--out", "out", "--block-size", "5", "--max-tokens", "3"]


def said_by(words: list[str], capsys: pytest.CaptureFixture[str], code: int = 0) -> list[str]:
    assert main(words) == code
    return capsys.readouterr().err.splitlines()


def test_it_says_what_is_new_and_what_was_there(words: list[str], capsys: pytest.CaptureFixture[str]):
    rate, last = said_by(words, capsys)
    assert re.fullmatch(r"12 samples in [\d.]+ s, [\d.,]+ per second", rate)
    assert last == "12 captions in 3 files in out"
    Path("out/00001.jsonl").unlink()
    there, _, last = said_by(words, capsys)
    assert (there, last) == ("out has 2 of 3 files", "1 of 3 files in out were written now, with 5 captions")
    assert said_by(words, capsys) == ["complete, nothing was left to do: 3 files in out"]


def test_json_counts_and_skipped_images_are_told(words: list[str], capsys: pytest.CaptureFixture[str]):
    broken = str(caption_lines()[6]["image"])
    Path(broken).write_text("no picture")
    line = said_by(words, capsys, code=1)[-1]
    assert line.startswith(f"sycoca map caption: {broken}")
    assert "more than max_skipped_ratio 0 allows" in line
    assert main([*words, "--max-skipped-ratio", "0.1", "--json"]) == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert (result["samples"], result["skipped"], result["files"]) == (12, {"not an image": 1}, 3)
    assert "skipped: 1 not an image; named in out/skipped" in printed.err


def test_other_arguments_are_wrong_usage(words: list[str], capsys: pytest.CaptureFixture[str]):
    said_by(words, capsys)
    assert said_by([*words, "--min-tokens", "2"], capsys, code=2) == [
        "sycoca map caption: out was begun with other arguments: min_tokens was 1, is 2; --overwrite starts over, or"
        " choose another name"
    ]
    assert said_by([*words, "--min-tokens", "2", "--overwrite"], capsys)[-1] == "12 captions in 3 files in out"


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (["--workers", "0"], "workers must be at least 1, got 0"),
        (["--ray-address", "auto"], "ray_address is an option of engine ray, not of local"),
        (["--engine", "ray"], "--engine ray needs Ray: pip install 'sycoca[ray]'"),
        (["--format", "csv"], "jsonl"),
    ],
)
def test_mistakes_are_one_line(words: list[str], more: list[str], line: str, capsys: pytest.CaptureFixture[str]):
    assert main([*words, *more]) in (1, 2)
    said = capsys.readouterr().err
    assert line in said
    assert "Traceback" not in said
    assert not Path("out").exists()
