"""Converted models compute what open_clip's own did when the goldens were made."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from comparison import our_outputs, relative_difference
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from sycoca.weights.conversion.open_clip import OpenClipModel, open_clip_tensors, read_open_clip
from sycoca.weights.conversion.open_clip_json import open_clip_json

GOLDENS = sorted((Path(__file__).parent / "goldens").glob("open_clip_*.safetensors"))


@pytest.fixture(params=GOLDENS, ids=lambda path: path.stem.removeprefix("open_clip_"))
def golden(request: pytest.FixtureRequest) -> tuple[dict[str, Any], dict[str, Tensor]]:
    with safe_open(request.param, "pt") as file:
        return json.loads(file.metadata()["described"]), {name: file.get_tensor(name) for name in sorted(file.keys())}


def peer_tensors(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix("peer."): tensor for name, tensor in tensors.items() if name.startswith("peer.")}


def convert(described: dict[str, Any], tensors: dict[str, Tensor], folder: Path) -> OpenClipModel:
    save_file(peer_tensors(tensors), folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": described}))
    return read_open_clip(folder)


def test_there_are_goldens_of_every_form():
    assert len(GOLDENS) == 8


@pytest.mark.parametrize(("dtype", "bar"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_converted_models_compute_what_open_clip_does(golden, tmp_path: Path, dtype: torch.dtype, bar: float):
    described, tensors = golden
    model = convert(described, tensors, tmp_path).model.to(dtype)
    ours = our_outputs(model, tensors["images"].to(dtype), tensors["tokens"], tensors["lengths"].tolist())
    for name in ours:
        theirs = tensors[f"output.{name}"]
        assert relative_difference(ours[name], theirs) <= bar, name
        # A model that gives every input the same output would agree by accident.
        assert float(theirs.std(0).mean()) > 0.02
    assert len(ours) == sum(name.startswith("output.") for name in tensors)
    assert "logits" not in ours or float(tensors["output.logits"].std()) >= 1


def test_there_and_back_is_bit_identical(golden, tmp_path: Path):
    described, tensors = golden
    back, dropped = open_clip_tensors(convert(described, tensors, tmp_path).model)
    own = peer_tensors(tensors)
    assert dropped == ()
    assert back.keys() == own.keys()
    for name, tensor in own.items():
        assert torch.equal(back[name], tensor), name
        assert back[name].shape == tensor.shape


def test_the_json_that_is_written_describes_the_model_that_was_read(golden, tmp_path: Path):
    described, tensors = golden
    model = convert(described, tensors, tmp_path).model
    written = open_clip_json(model.config)
    for section in ("vision_cfg", "text_cfg", "multimodal_cfg"):
        if section in described:
            assert described[section].items() <= written[section].items()
    assert {name: written.get(name) for name in ("embed_dim", "quick_gelu", "custom_text")} == {
        name: described.get(name) for name in ("embed_dim", "quick_gelu", "custom_text")
    }
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": written}))
    assert read_open_clip(tmp_path).model.config == model.config
