"""Folders that hold an image encoder alone, and the function that reads these and whole models."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import sycoca
from builders.manifests import renew_manifest
from builders.predictors import save_small_weights
from sycoca.cli.main import main
from sycoca.model.config import ImageEncoderConfig
from sycoca.model.image_encoder import ImageEncoder
from sycoca.model.pooler_config import AttentionPoolerConfig
from sycoca.preprocess.config import ImageTransformConfig
from sycoca.weights.config_file import read_weights_config
from sycoca.weights.folder import load_weights
from sycoca.weights.parts import PartsConfig, load_parts, read_parts_config, save_image_encoder

CONFIG = ImageEncoderConfig(
    image_size=16, patch_size=4, width=24, depth=2, num_heads=3, has_norm_pre=False, norm_eps=1e-12
)
TRANSFORMS = ImageTransformConfig(mean=(0.5, 0.5, 0.5), std=(0.5, 0.4, 0.3))


def tensors_of(config: ImageEncoderConfig = CONFIG, *, embed_dim: int | None = None) -> dict[str, Tensor]:
    tensors = ImageEncoder(config, embed_dim or 7).state_dict()
    if embed_dim is None:
        tensors.pop("projection.weight", None)
    return tensors


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_image_encoder(tmp_path / "vit", CONFIG, tensors_of(), TRANSFORMS, summary="Found in a test.")
    return tmp_path / "vit"


@pytest.mark.parametrize("embed_dim", [None, 10])
def test_an_image_encoder_can_be_loaded(tmp_path: Path, embed_dim: int | None):
    tensors = tensors_of(embed_dim=embed_dim)
    save_image_encoder(tmp_path / "vit", CONFIG, tensors, TRANSFORMS)
    parts = load_parts(tmp_path / "vit")
    expected = PartsConfig(image_encoder=CONFIG, transforms=TRANSFORMS, embed_dim=embed_dim, weights=None)
    assert parts.config == read_parts_config(tmp_path / "vit") == expected
    assert parts.tokenizer is None
    assert parts.tensors.keys() == {f"image_encoder.{name}" for name in tensors}
    assert all(torch.equal(parts.tensors[f"image_encoder.{name}"], tensor) for name, tensor in tensors.items())


def test_poolers_without_projection_define_embed_dim(tmp_path: Path):
    pooler = AttentionPoolerConfig(kind="cascade", num_queries=3, width=12, num_heads=2)
    config = replace(CONFIG, pooling="attention", pooler=pooler)
    save_image_encoder(tmp_path / "vit", config, tensors_of(config), TRANSFORMS)
    assert read_parts_config(tmp_path / "vit").embed_dim == 12


def test_a_whole_model_is_read_by_the_same_function(tmp_path: Path):
    folder = save_small_weights(tmp_path / "weights")
    parts, loaded = load_parts(folder), load_weights(folder)
    assert parts.config == read_parts_config(folder)
    assert (parts.config.weights, parts.config.embed_dim) == (loaded.config, 10)
    assert parts.config.image_encoder == loaded.config.model.image_encoder
    assert parts.config.transforms == loaded.config.transforms
    assert parts.tokenizer is not None
    expected = loaded.model.state_dict()
    assert parts.tensors.keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in parts.tensors.items())


def test_the_folder_says_what_it_holds(folder: Path):
    names = ["README.md", "config.json", "manifest.json", "model.safetensors"]
    assert sorted(path.name for path in folder.iterdir()) == names
    plain = json.loads((folder / "config.json").read_text("utf-8"))
    assert list(plain) == ["format_version", "parts", "image_encoder", "transforms", "embed_dim"]
    assert plain["parts"] == ["image_encoder"]
    card = (folder / "README.md").read_text("utf-8")
    num_parameters = sum(tensor.numel() for tensor in tensors_of().values())
    for words in ("Found in a test.", f"{num_parameters:,} parameters: 16 px", "--start.weights"):
        assert words in card


def test_replaces_a_weights_folder_but_no_other_files(folder: Path, tmp_path: Path):
    save_small_weights(tmp_path / "weights")
    save_image_encoder(tmp_path / "weights", CONFIG, tensors_of(), TRANSFORMS)
    assert read_parts_config(tmp_path / "weights").weights is None
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match=r"is not a weights folder \(thesis\.tex would be deleted\)"):
        save_image_encoder(folder, CONFIG, tensors_of(), TRANSFORMS)


@pytest.mark.parametrize("load", [load_weights, read_weights_config, sycoca.load])
def test_it_can_only_initialize_training(folder: Path, load):
    with pytest.raises(
        ValueError,
        match=r"vit holds an image encoder alone, which can only initialize training: sycoca pretrain PRESET --sta",
    ):
        load(folder)


@pytest.mark.parametrize("arguments", ["caption FOLDER photo.jpg", "finetune retrieval FOLDER --data.train x.jsonl"])
def test_commands_say_so_in_one_line(folder: Path, arguments: str, capsys: pytest.CaptureFixture[str]):
    assert main([str(folder) if word == "FOLDER" else word for word in arguments.split()]) != 0
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"sycoca pretrain PRESET --start.weights {folder}" in error


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tensors: tensors.pop("positions"), r"positions has shape None instead of \(17, 24\)"),
        (lambda tensors: tensors.update(extra=torch.ones(2)), r"extra has shape \(2,\) instead of None"),
        (lambda tensors: tensors.update(cls_token=torch.ones(3)), r"cls_token has shape \(3,\) instead of \(24,\)"),
    ],
)
def test_refuses_to_save_tensors_of_something_else(tmp_path: Path, change, said: str):
    tensors = tensors_of()
    change(tensors)
    with pytest.raises(ValueError, match=f"^the tensors to save are not those of the image encoder: {said}"):
        save_image_encoder(tmp_path / "vit", CONFIG, tensors, TRANSFORMS)
    assert not (tmp_path / "vit").exists()


def test_refuses_damaged_folders(folder: Path):
    tensors = load_file(folder / "model.safetensors")
    del tensors["image_encoder.positions"]
    save_file(tensors, folder / "model.safetensors")
    renew_manifest(folder)
    with pytest.raises(ValueError, match=r"model\.safetensors lacks image_encoder\.positions;"):
        load_parts(folder)
    (folder / "model.safetensors").unlink()
    renew_manifest(folder)
    with pytest.raises(ValueError, match=r"vit has no model\.safetensors; copy the whole folder again"):
        load_parts(folder)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"parts": ["text_encoder"]}, r"config\.json\.parts\[0\] is 'text_encoder'"),
        ({"parts": []}, r"config\.json\.parts must have 1 values"),
        ({"format_version": 99}, "format_version 99, this version of sycoca reads up to"),
    ],
)
def test_refuses_configs_of_other_folders(folder: Path, changes: dict[str, object], said: str):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **changes}), encoding="utf-8")
    renew_manifest(folder)
    with pytest.raises(ValueError, match=said):
        load_parts(folder)


def test_refuses_what_is_no_folder(tmp_path: Path):
    with pytest.raises(ValueError, match="nowhere does not exist; name a weights folder"):
        load_parts(tmp_path / "nowhere")
