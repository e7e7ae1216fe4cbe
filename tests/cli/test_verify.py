"""``sycoca verify``: what is sound, and a manifest that is renewed after an edit on purpose."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import sycoca
from builders.predictors import save_small_weights
from sycoca.cli.main import main


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return save_small_weights(tmp_path / "my weights")


def edit_config(weights: Path) -> Path:
    path = weights / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "history": ["Edited by hand."]}))
    return path


def test_sound_weights(weights: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["verify", str(weights)]) == 0
    number = sycoca.load(weights, device="cpu").model.num_parameters
    assert capsys.readouterr().out == f"'{weights}': {number:,} parameters, all finite; as in its manifest\n"


def test_an_edited_config_is_refused_until_its_manifest_is_renewed(
    weights: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(weights.parent)
    path = edit_config(Path("my weights"))
    assert main(["verify", "my weights", "--no-verify"]) == 1  # what it is for is not skipped
    error = capsys.readouterr().err
    assert error.startswith(f"sycoca verify: {path} ")
    assert error.endswith("; after an edit on purpose: sycoca verify 'my weights' --renew\n")
    assert main(["verify", "my weights", "--renew"]) == 0
    assert capsys.readouterr().out.endswith("all finite; as in its new manifest\n")
    assert sycoca.load(weights, device="cpu").config.history == ("Edited by hand.",)
    assert sorted(one.name for one in weights.iterdir()) == [
        *("README.md", "config.json", "manifest.json", "model.safetensors", "tokenizer.json")
    ]


def test_no_manifest_is_made_for_weights_that_cannot_be_used(weights: Path, capsys: pytest.CaptureFixture[str]):
    tensors = load_file(weights / "model.safetensors")
    before = (weights / "manifest.json").read_bytes()
    save_file(tensors | {"log_logit_scale": torch.tensor([torch.nan])}, weights / "model.safetensors")
    assert main(["verify", str(weights), "--renew"]) == 1
    assert "1 of the 1 values of log_logit_scale are not finite" in capsys.readouterr().err
    (weights / "model.safetensors").write_bytes(b"half")
    assert main(["verify", str(weights), "--renew"]) == 1
    assert (weights / "manifest.json").read_bytes() == before


def test_a_folder_of_an_earlier_format_gets_a_manifest(weights: Path, capsys: pytest.CaptureFixture[str]):
    (weights / "manifest.json").unlink()
    path = weights / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format_version": 3}))
    assert main(["verify", str(weights)]) == 0
    assert capsys.readouterr().out.endswith(
        f"; no manifest to compare with; sycoca verify '{weights}' --renew adds one\n"
    )
    assert main(["verify", str(weights), "--renew"]) == 0
    assert main(["verify", str(weights)]) == 0
    assert capsys.readouterr().out.endswith("as in its manifest\n")


def test_weights_of_the_hub_are_not_edited(capsys: pytest.CaptureFixture[str]):
    assert main(["verify", "hf:me/tiny", "--renew"]) == 2
    assert capsys.readouterr().err == (
        "sycoca verify: --renew needs a local folder, hf:me/tiny is on the Hugging Face Hub\n"
    )
