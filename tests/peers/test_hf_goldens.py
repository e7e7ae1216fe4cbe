"""Converted models compute what transformers' own did when the goldens were made."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from comparison import our_outputs, relative_difference
from safetensors.torch import load_file, save_file

from builders.sentence_pieces import write_siglip2_tokenizer
from sycoca.model.image_encoder import ImageEncoder
from sycoca.weights.conversion.hugging_face.image_encoders import HfImageEncoder
from sycoca.weights.conversion.hugging_face.read import hf_clip_tensors, read_hugging_face
from sycoca.weights.conversion.hugging_face.whole_model import HfModel

GOLDENS = Path(__file__).parent / "goldens"
PRECISIONS = pytest.mark.parametrize(("dtype", "bar"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])


@PRECISIONS
@pytest.mark.parametrize("activation", ["gelu", "quick_gelu"])
def test_a_converted_clip_computes_what_transformers_does(activation: str, dtype: torch.dtype, bar: float):
    folder = GOLDENS / f"hf_clip_{activation}"
    read, golden = read_hugging_face(folder, dtype), load_file(folder / "outputs.safetensors")
    assert isinstance(read, HfModel)
    ours = our_outputs(read.model, golden["images"].to(dtype), golden["tokens"], golden["lengths"].tolist())
    assert ours.keys() == {"image_embeds", "text_embeds"}
    for name, values in ours.items():
        assert relative_difference(values, golden[f"output.{name}"]) <= bar
        assert float(golden[f"output.{name}"].std(0).mean()) > 0.02


def test_clip_goes_there_and_back_bit_for_bit():
    folder = GOLDENS / "hf_clip_gelu"
    read, own = read_hugging_face(folder), load_file(folder / "model.safetensors")
    assert isinstance(read, HfModel)
    back = hf_clip_tensors(read.model)
    assert back.keys() == own.keys()
    assert all(torch.equal(back[name], tensor) and back[name].shape == tensor.shape for name, tensor in own.items())


@pytest.mark.parametrize("prefix", ["vision_model.", ""])
def test_the_vision_tower_of_a_clip_alone_is_an_image_encoder(prefix: str, tmp_path: Path):
    whole = GOLDENS / "hf_clip_quick_gelu"
    described = json.loads((whole / "config.json").read_text())
    own = {**described["vision_config"], "model_type": "clip_vision_model"}
    (tmp_path / "config.json").write_text(json.dumps(own))
    tensors = load_file(whole / "model.safetensors")
    kept = {f"{prefix}{name[13:]}": tensor for name, tensor in tensors.items() if name.startswith("vision_model.")}
    save_file({**kept, "visual_projection.weight": tensors["visual_projection.weight"]}, tmp_path / "model.safetensors")
    read, expected = read_hugging_face(tmp_path), read_hugging_face(whole)
    assert isinstance(read, HfImageEncoder)
    assert isinstance(expected, HfModel)
    assert (read.kind, read.dropped) == ("CLIP", ("projection into the joint space",))
    assert read.config == expected.model.config.image_encoder
    state = expected.model.image_encoder.state_dict()
    assert read.tensors.keys() == state.keys() - {"projection.weight"}
    assert all(torch.equal(tensor, state[name]) for name, tensor in read.tensors.items())


def test_what_old_versions_saved_beside_a_section_overrules_it(tmp_path: Path):
    folder = shutil.copytree(GOLDENS / "hf_clip_gelu", tmp_path / "clip")
    described = json.loads((folder / "config.json").read_text())
    described["vision_config_dict"] = {"hidden_size": described["vision_config"]["hidden_size"]}
    described["vision_config"]["hidden_size"] = 768
    described["text_config_dict"] = None
    (folder / "config.json").write_text(json.dumps(described))
    read, expected = read_hugging_face(folder), read_hugging_face(GOLDENS / "hf_clip_gelu")
    assert isinstance(read, HfModel)
    assert isinstance(expected, HfModel)
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


ENCODERS = [
    ("hf_vit", ("classifier",)),
    ("hf_vit_mae", ("pixel decoder",)),
    ("hf_dinov2", ("classifier", "mask token")),
    ("hf_dinov2_swiglu", ("classifier", "mask token")),
    ("hf_dinov2_registers", ("mask token",)),
    ("hf_dinov3", ("mask token",)),
    ("hf_dinov3_gated", ("mask token",)),
    ("hf_siglip", ("text encoder", "temperature and bias of the sigmoid loss")),
]


def converted_encoder(name: str, dtype: torch.dtype) -> tuple[ImageEncoder, HfImageEncoder]:
    read = read_hugging_face(GOLDENS / name, dtype, image_encoder_only=True)
    assert isinstance(read, HfImageEncoder)
    encoder = ImageEncoder(read.config, embed_dim=8).to(dtype)
    missing = encoder.load_state_dict(read.tensors, strict=False).missing_keys
    assert missing == ["projection.weight"]
    return encoder, read


@torch.no_grad()
def normalized_states(encoder: ImageEncoder, images: torch.Tensor) -> torch.Tensor:
    assert encoder.norm_post is not None
    return encoder.norm_post(torch.cat(encoder(images), dim=1))


@PRECISIONS
@pytest.mark.parametrize(("name", "dropped"), ENCODERS)
def test_a_converted_image_encoder_computes_what_transformers_does(name, dropped, dtype: torch.dtype, bar: float):
    encoder, read = converted_encoder(name, dtype)
    golden = load_file(GOLDENS / name / "outputs.safetensors")
    assert read.dropped == dropped
    states = normalized_states(encoder, golden["images"].to(dtype))
    assert relative_difference(states, golden["output.states"]) <= bar
    assert float(golden["output.states"].std()) >= 0.5


@PRECISIONS
@pytest.mark.parametrize("name", ["hf_dinov3", "hf_dinov3_gated"])
def test_rotary_positions_of_another_size_are_those_of_transformers(name: str, dtype: torch.dtype, bar: float):
    encoder, _ = converted_encoder(name, dtype)
    golden = load_file(GOLDENS / name / "outputs.safetensors")
    assert golden["larger_images"].shape[2:] == (64, 32)
    states = normalized_states(encoder, golden["larger_images"].to(dtype))
    assert relative_difference(states, golden["output.larger_states"]) <= bar


@PRECISIONS
def test_the_head_of_siglip_pools_as_in_transformers(dtype: torch.dtype, bar: float):
    encoder, _ = converted_encoder("hf_siglip", dtype)
    golden = load_file(GOLDENS / "hf_siglip" / "outputs.safetensors")
    with torch.no_grad():
        pooled = encoder.features(*encoder(golden["images"].to(dtype)))
    assert relative_difference(pooled, golden["output.pooled"]) <= bar
    assert float(golden["output.pooled"].std(0).mean()) > 0.1


@PRECISIONS
def test_both_encoders_of_siglip_compute_what_transformers_does(dtype: torch.dtype, bar: float, tmp_path: Path):
    folder = GOLDENS / "hf_siglip"
    read = read_hugging_face(folder, dtype, tokenizer_path=write_siglip2_tokenizer(tmp_path))
    assert isinstance(read, HfModel)
    assert read.kind == "SigLIP"
    golden = load_file(folder / "outputs.safetensors")
    ours = our_outputs(read.model, golden["images"].to(dtype), golden["tokens"], golden["lengths"].tolist())
    for name, values in ours.items():
        assert relative_difference(values, golden[f"output.{name}"]) <= bar
        assert float(golden[f"output.{name}"].std(0).mean()) > 0.02
    logits = read.model.logit_scale() * ours["image_embeds"] @ ours["text_embeds"].T + read.model.logit_bias
    assert relative_difference(logits.detach(), golden["output.logits_per_image"]) <= bar
    # Shorter rows are padded to the context.
    short = golden["tokens"][:, :7]
    alone = our_outputs(read.model, golden["images"].to(dtype), short[:2], golden["lengths"][:2].tolist())
    assert relative_difference(alone["text_embeds"], golden["output.text_embeds"][:2]) <= bar


def test_a_siglip_without_its_head_is_pooled_by_the_mean(tmp_path: Path):
    folder = shutil.copytree(GOLDENS / "hf_siglip", tmp_path / "siglip")
    described = json.loads((folder / "config.json").read_text())
    described["vision_config"]["vision_use_head"] = False
    (folder / "config.json").write_text(json.dumps(described))
    tensors = load_file(folder / "model.safetensors")
    save_file({name: own for name, own in tensors.items() if ".head." not in name}, folder / "model.safetensors")
    read = read_hugging_face(folder, image_encoder_only=True)
    assert isinstance(read, HfImageEncoder)
    assert read.config.pooling == "mean"
    with pytest.raises(ValueError, match="vision_use_head is false, so images have no embedding"):
        read_hugging_face(folder, tokenizer_path=write_siglip2_tokenizer(tmp_path))


def test_later_names_of_dinov3s_blocks_are_read(tmp_path: Path):
    folder = shutil.copytree(GOLDENS / "hf_dinov3", tmp_path / "later")
    tensors = load_file(folder / "model.safetensors")
    later = {f"model.{name}" if name.startswith("layer.") else name: own for name, own in tensors.items()}
    save_file(later, folder / "model.safetensors")
    expected, found = read_hugging_face(GOLDENS / "hf_dinov3"), read_hugging_face(folder)
    assert isinstance(expected, HfImageEncoder)
    assert isinstance(found, HfImageEncoder)
    assert all(torch.equal(found.tensors[name], own) for name, own in expected.tensors.items())


def test_biases_that_dinov3_does_without_are_zeros(tmp_path: Path):
    folder = shutil.copytree(GOLDENS / "hf_dinov3_gated", tmp_path / "without")
    described = json.loads((folder / "config.json").read_text())
    without = ("query_bias", "value_bias", "proj_bias", "mlp_bias")
    (folder / "config.json").write_text(json.dumps(described | dict.fromkeys(without, False)))
    tensors = load_file(folder / "model.safetensors")
    kept = {name: own for name, own in tensors.items() if not name.endswith("_proj.bias")}
    assert len(kept) < len(tensors)
    save_file(kept, folder / "model.safetensors")
    read = read_hugging_face(folder)
    assert isinstance(read, HfImageEncoder)
    for layer in ("attention.query_key_value", "attention.output", "mlp.expand", "mlp.contract"):
        assert not read.tensors[f"blocks.1.{layer}.bias"].any()
