"""Names and shapes of open_clip's models in full size, and options that its files do not state."""

import ast
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from builders.shared_data import SHARED_DATA
from sycoca.model.sycoca import SyCoCa
from sycoca.presets.pretrain import pretrain_preset
from sycoca.weights.conversion.open_clip import open_clip_tensors, read_open_clip
from sycoca.weights.conversion.open_clip_json import open_clip_json
from sycoca.weights.conversion.open_clip_shapes import UnseenForms, config_from_shapes

GOLDENS = Path(__file__).parents[1] / "peers" / "goldens"
REFERENCE = SHARED_DATA.parent / "reference"


def read_reference(name: str) -> dict[str, tuple[int, ...]]:
    path = REFERENCE / f"{name}.txt"
    if not path.exists():
        pytest.skip(f"needs {path.name} in ../shared/reference, which is not here")
    pairs = (line.split(" ", 1) for line in path.read_text().splitlines())
    return {name: ast.literal_eval(shape) for name, shape in pairs}


@pytest.mark.parametrize(
    ("preset", "name", "num_parameters"),
    [
        ("vit_b32", "sd_coca_ViT-B-32", 253_560_065),
        ("vit_l14", "sd_coca_ViT-L-14", 638_450_177),
        ("coca_base", "sd_coca_base", 440_337_409),
    ],
)
def test_presets_have_the_tensors_of_open_clips_models(preset: str, name: str, num_parameters: int):
    with torch.device("meta"):
        model = SyCoCa(pretrain_preset(preset).model)
    tensors, dropped = open_clip_tensors(model)
    assert dropped == ("image decoder",)
    assert sum(tensor.numel() for tensor in tensors.values()) == num_parameters
    expected = read_reference(name)
    assert {name: tuple(tensor.shape) for name, tensor in tensors.items()} == expected
    config = config_from_shapes(expected, UnseenForms(cls_mask="correct"), "the reference")
    for part in ("image_encoder", "text_encoder", "text_decoder", "embed_dim"):
        assert getattr(config, part) == getattr(model.config, part)


def golden(name: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    path = GOLDENS / f"open_clip_{name}.safetensors"
    with safe_open(path, "pt") as file:
        described = json.loads(file.metadata()["described"])
    tensors = load_file(path)
    return {key.removeprefix("peer."): tensors[key] for key in tensors if key.startswith("peer.")}, described


def read(folder: Path, name: str, changes: dict[str, Any] | None = None, **options: Any) -> SyCoCa:
    tensors, described = golden(name)
    save_file(tensors, folder / "model.safetensors")
    if changes is None:
        return read_open_clip(folder, **options).model
    for place, value in changes.items():
        section, _, field = place.partition(".")
        if field:
            described[section][field] = value
        else:
            described[section] = value
    (folder / "its.json").write_text(json.dumps(described))
    return read_open_clip(folder, config_path=folder / "its.json", **options).model


def test_without_a_config_options_are_those_of_open_clips_models(tmp_path: Path):
    encoder = read(
        tmp_path, "coca", forms=UnseenForms(image_heads=3, text_heads=2, decoder_heads=2)
    ).config.text_encoder
    assert (encoder.cls_mask, encoder.cls_position, encoder.activation) == ("shifted", "last", "gelu")
    forms = UnseenForms(image_heads=3, text_heads=2, decoder_heads=2, pooler_heads=2)
    assert read(tmp_path, "coca2_cascade", forms=forms).config.text_encoder.cls_mask == "correct"
    for kind in ("cascade", "parallel"):
        assert read(tmp_path, f"coca2_{kind}", forms=forms).config.image_encoder.pooler.kind == kind


def test_head_width_64_is_assumed_except_in_larger_image_encoders():
    def heads(width: int) -> int:
        shapes = {
            "logit_scale": (),
            "visual.conv1.weight": (width, 3, 14, 14),
            "visual.positional_embedding": (257, width),
            "token_embedding.weight": (100, 1024),
            "positional_embedding": (77, 1024),
            "text_projection": (1024, 1024),
        }
        config = config_from_shapes(shapes, UnseenForms(), "it")
        assert config.text_encoder.num_heads == 16
        return config.image_encoder.num_heads

    assert [heads(width) for width in (768, 1024, 1280, 1408, 1664, 1792)] == [12, *[16] * 5]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vision_cfg.layers": 3}, r"its\.json says vision_cfg\.layers 3, the checkpoint has 2"),
        ({"vision_cfg.mlp_ratio": 3.5}, r"says vision_cfg\.width times mlp_ratio 84, the checkpoint has 96"),
        ({"text_cfg.mlp_ratio": 3.5}, r"text_cfg\.mlp_ratio is 3\.5, which cannot be converted"),
        ({"vision_cfg.image_size": 32}, r"says vision_cfg\.image_size 32, the checkpoint has 24"),
        ({"text_cfg.vocab_size": 41}, r"says text_cfg\.vocab_size 41, the checkpoint has 40"),
        ({"embed_dim": 8}, r"says embed_dim 8, the checkpoint has 16"),
        ({"text_cfg.no_causal_mask": True}, r"text_cfg\.no_causal_mask is True, which cannot be converted"),
        ({"text_cfg.hf_model_name": "roberta-base"}, r"hf_model_name is 'roberta-base', which cannot"),
        ({"vision_cfg.pool_type": "avg"}, r"vision_cfg\.pool_type is 'avg'"),
        ({"vision_cfg.qk_norm": True}, r"vision_cfg\.qk_norm is True"),
        ({"vision_cfg.norm_kwargs": {"eps": 1e-6}}, r"norm_kwargs is \{'eps': 1e-06\}"),
        ({"vision_cfg": {}}, r"is not a model config of open_clip: it lacks vision_cfg or text_cfg"),
    ],
)
def test_a_config_of_another_model_is_refused(tmp_path: Path, changes: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, "coca", changes)


def test_a_config_states_what_shapes_do_not_show(tmp_path: Path):
    said = {"text_cfg.correct_cls_mask": True, "quick_gelu": True, "vision_cfg.final_ln_after_pool": True}
    config = read(tmp_path, "coca_without_pooler", said | {"text_cfg.hf_model_name": None}).config
    assert config.text_encoder.cls_mask == "correct"
    assert config.image_encoder.activation == config.text_encoder.activation == "quick_gelu"
    assert not config.image_encoder.norms_memory
    assert read(tmp_path, "coca_without_pooler", {}).config.image_encoder.norms_memory


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("visual.trunk.blocks.0.norm.weight", "an image tower of timm"),
        ("visual.layer1.0.conv1.weight", "a ResNet"),
        ("text.transformer.embeddings.word_embeddings.weight", r"a text tower of Hugging Face \(RoBERTa"),
        ("vision_model.embeddings.class_embedding", "use sycoca convert from-hf"),
        ("logit_bias", "has, unknown to us, logit_bias"),
    ],
)
def test_other_towers_are_refused_by_name(tmp_path: Path, name: str, message: str):
    tensors, _ = golden("clip")
    save_file(tensors | {name: torch.zeros(2)}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=message):
        read_open_clip(tmp_path, forms=UnseenForms(image_heads=3, text_heads=2))


def test_a_width_that_is_no_multiple_of_64_needs_a_config(tmp_path: Path):
    with pytest.raises(ValueError, match="width of 24, which is not a multiple of the head width 64: give the"):
        read(tmp_path, "clip")


def test_a_file_of_something_else_is_refused(tmp_path: Path):
    save_file({"conv1.weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"is not a CLIP or CoCa of open_clip: it has no tensor visual\.conv1"):
        read_open_clip(tmp_path)


@pytest.mark.parametrize(
    ("preset", "fault"),
    [("tiny", "image pooling max"), ("vit_b16", "a text decoder of width 512 that sees an image of width 768")],
)
def test_models_that_open_clip_does_not_have_are_refused(preset: str, fault: str):
    with torch.device("meta"):
        model = SyCoCa(pretrain_preset(preset).model)
    with pytest.raises(ValueError, match=f"open_clip has no such model: {fault}"):
        open_clip_json(model.config)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"activation": "gelu_tanh"}, "activation gelu_tanh"),
        ({"num_registers": 4}, "register tokens"),
        ({"pooling": "map"}, "image pooling map"),
        ({"activation": "swiglu"}, "activation swiglu"),
        ({"position_embedding": "rotary"}, "rotary position embeddings"),
    ],
)
def test_image_encoders_that_open_clip_does_not_have_are_refused(changes: dict[str, Any], fault: str):
    config = pretrain_preset("vit_b32").model
    image = replace(config.image_encoder, **changes)
    with pytest.raises(ValueError, match=f"open_clip has no such model: {fault}"):
        open_clip_json(replace(config, image_encoder=image))
    with pytest.raises(ValueError, match="open_clip has no such model: a logit bias"):
        open_clip_json(replace(config, has_logit_bias=True))
