"""Converted models compute what transformers' own did when the goldens were made."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from comparison import our_outputs, relative_difference
from safetensors.torch import load_file

from sycoca.model.image_encoder import ImageEncoder
from sycoca.weights.conversion.hugging_face import HfClip, HfImageEncoder, hf_clip_tensors, read_hugging_face

GOLDENS = Path(__file__).parent / "goldens"
PRECISIONS = pytest.mark.parametrize(("dtype", "bar"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])


@PRECISIONS
@pytest.mark.parametrize("activation", ["gelu", "quick_gelu"])
def test_a_converted_clip_computes_what_transformers_does(activation: str, dtype: torch.dtype, bar: float):
    folder = GOLDENS / f"hf_clip_{activation}"
    read, golden = read_hugging_face(folder), load_file(folder / "outputs.safetensors")
    assert isinstance(read, HfClip)
    ours = our_outputs(read.model.to(dtype), golden["images"].to(dtype), golden["tokens"], golden["lengths"].tolist())
    assert ours.keys() == {"image_embeds", "text_embeds"}
    for name, values in ours.items():
        assert relative_difference(values, golden[f"output.{name}"]) <= bar
        assert float(golden[f"output.{name}"].std(0).mean()) > 0.02


def test_clip_goes_there_and_back_bit_for_bit():
    folder = GOLDENS / "hf_clip_gelu"
    read, own = read_hugging_face(folder), load_file(folder / "model.safetensors")
    assert isinstance(read, HfClip)
    back = hf_clip_tensors(read.model)
    assert back.keys() == own.keys()
    assert all(torch.equal(back[name], tensor) and back[name].shape == tensor.shape for name, tensor in own.items())


def test_what_old_versions_saved_beside_a_section_overrules_it(tmp_path: Path):
    folder = shutil.copytree(GOLDENS / "hf_clip_gelu", tmp_path / "clip")
    described = json.loads((folder / "config.json").read_text())
    described["vision_config_dict"] = {"hidden_size": described["vision_config"]["hidden_size"]}
    described["vision_config"]["hidden_size"] = 768
    described["text_config_dict"] = None
    (folder / "config.json").write_text(json.dumps(described))
    read, expected = read_hugging_face(folder), read_hugging_face(GOLDENS / "hf_clip_gelu")
    assert isinstance(read, HfClip)
    assert isinstance(expected, HfClip)
    assert read.model.config == expected.model.config


def test_a_text_encoder_with_other_mlps_is_refused(tmp_path: Path):
    folder = shutil.copytree(GOLDENS / "hf_clip_gelu", tmp_path / "clip")
    described = json.loads((folder / "config.json").read_text())
    described["text_config"]["intermediate_size"] = 40
    (folder / "config.json").write_text(json.dumps(described))
    with pytest.raises(
        ValueError, match=r"text_config\.intermediate_size is 40, only 4 times the width \(64\) is supported"
    ):
        read_hugging_face(folder)


# The bias of the patches is added to their positions in float32, and layer scales are multiplied, which rounds.
@pytest.mark.parametrize(("dtype", "bar"), [(torch.float64, 1e-7), (torch.float32, 1e-5)])
@pytest.mark.parametrize(
    ("name", "dropped"),
    [
        ("hf_vit", ("classifier",)),
        ("hf_vit_mae", ("pixel decoder",)),
        ("hf_dinov2", ("classifier", "mask token")),
        ("hf_dinov2_registers", ("mask token",)),
        ("hf_siglip", ("attention-pooling head", "text encoder", "temperature and bias of the sigmoid loss")),
    ],
)
def test_a_converted_image_encoder_computes_what_transformers_does(name, dropped, dtype: torch.dtype, bar: float):
    read, golden = read_hugging_face(GOLDENS / name), load_file(GOLDENS / name / "outputs.safetensors")
    assert isinstance(read, HfImageEncoder)
    assert read.dropped == dropped
    encoder = ImageEncoder(read.config, embed_dim=8)
    missing = encoder.load_state_dict(read.tensors, strict=False).missing_keys
    assert missing == ["projection.weight"]
    encoder = encoder.to(dtype)
    assert encoder.norm_post is not None
    with torch.no_grad():
        cls_tokens, patch_tokens = encoder(golden["images"].to(dtype))
        states = encoder.norm_post(torch.cat([cls_tokens, patch_tokens], dim=1))
    assert relative_difference(states, golden["output.states"]) <= bar
    assert float(golden["output.states"].std()) >= 0.5
