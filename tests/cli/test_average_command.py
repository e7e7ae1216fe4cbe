from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import sycoca
from builders.predictors import photo, save_small_weights, small_predictor
from sycoca.cli.main import main
from sycoca.weights.folder import save_weights


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    start, end = save_small_weights(tmp_path / "start"), tmp_path / "end"
    predictor = small_predictor(model_image_decoder=None, model_num_answers=2, answers=("yes", "no"))
    save_weights(end, predictor.model.float(), predictor.tokenizer, predictor.config)
    return start, end


def test_says_what_the_mean_is_made_of(folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    start, end = folders
    out = tmp_path / "mean"
    assert main(["average", str(start), str(end), "--alpha", "0.25", "--out", str(out)]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{out}\n"
    assert captured.err.splitlines() == [
        f"0.75 of {start} and 0.25 of {end}: image encoder, text encoder, text decoder, temperature",
        f"copied from {start}, the only one that has it: image decoder",
        f"copied from {end}, the only one that has it: head for answers",
    ]
    card = " ".join((out / "README.md").read_text("utf-8").split())
    assert f"(WiSE-FT, arXiv 2109.01903): 0.75 of `{start}` and 0.25 of `{end}`" in card
    assert "head for answers." in card
    assert "sycoca caption" in card
    before, after, mean = (load_file(folder / "model.safetensors") for folder in (start, end, out))
    name = "text_encoder.positions"
    torch.testing.assert_close(mean[name], 0.75 * before[name] + 0.25 * after[name])
    assert len(sycoca.load(out, device="cpu").caption([photo()])) == 1


@pytest.mark.parametrize("which", [0, 1])
def test_never_replaces_what_is_averaged(folders: tuple[Path, Path], which: int, capsys: pytest.CaptureFixture[str]):
    start, end = folders
    before = (folders[which] / "model.safetensors").read_bytes()
    same = folders[which].parent / "x" / ".." / folders[which].name
    assert main(["average", str(start), str(end), "--out", str(same), "--overwrite"]) == 2
    assert "would replace what it is made from; choose another name" in capsys.readouterr().err
    assert (folders[which] / "model.safetensors").read_bytes() == before


def test_mistakes_are_one_line(folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    start, end = folders
    assert main(["average", str(start), str(end), "--alpha", "2", "--out", str(tmp_path / "x")]) == 1
    assert main(["average", str(start), "nowhere", "--out", str(tmp_path / "x")]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("sycoca average: alpha must lie between 0")
    assert lines[1].startswith("sycoca average: nowhere does not exist")
    assert not (tmp_path / "x").exists()
