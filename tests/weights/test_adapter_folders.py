"""Folders of adapters beside what reads, verifies and publishes weights."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import sycoca
from sycoca.model.adapters import add_adapters
from sycoca.outputs.errors import OutputError
from sycoca.weights.adapter import adapter_config
from sycoca.weights.config import AdapterConfig
from sycoca.weights.conversion.convert import open_clip_outputs
from sycoca.weights.folder import load_weights, save_weights
from sycoca.weights.verification import renew_manifest, verify_weights

BASE = Path(__file__).parent / "golden" / "format-3" / "paper" / "weights"


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """Write an adapter of weights of the third format, and return its folder."""
    loaded = load_weights(BASE)
    loaded.model.requires_grad_(False)
    add_adapters(loaded.model.text_encoder, rank=2, alpha=4.0)
    config = replace(loaded.config, adapter=adapter_config(str(BASE), rank=2, alpha=4.0))
    save_weights(tmp_path / "adapter", loaded.model, loaded.tokenizer, config)
    return tmp_path / "adapter"


def with_adapter(folder: Path, **changes: Any) -> None:
    plain = json.loads((folder / "config.json").read_text())
    plain["adapter"] |= changes
    (folder / "config.json").write_text(json.dumps(plain))


def test_bad_values_are_not_said_to_be_in_a_file_that_is_not_there(adapter: Path):
    assert verify_weights(adapter).has_manifest
    tensors = load_file(adapter / "adapter.safetensors")
    save_file({name: tensor.fill_(torch.nan) for name, tensor in tensors.items()}, adapter / "adapter.safetensors")
    with pytest.raises(ValueError, match=r"/adapter: [\d,]+ of the [\d,]+ values of text_encoder\.\S+ are not finite"):
        renew_manifest(adapter)


def test_an_adapter_of_a_local_folder_is_not_published(adapter: Path):
    with pytest.raises(ValueError, match=r"is an adapter of .*weights, which nobody else has: publish the whole model"):
        sycoca.push_to_hub(adapter, "me/tiny", token="none")


@pytest.mark.parametrize(
    ("kept", "change", "message"),
    [
        (".adapter.down", {}, r"lacks tensors: text_encoder\.\S+\.adapter\.up"),
        ("nothing", {}, "lacks tensors: those of adapters"),
        (".adapter.", {"dtype": torch.int8}, r"has other than floating-point values in: text_encoder\.\S+\.adapter\."),
    ],
)
def test_half_an_adapter_is_none(adapter: Path, kept: str, change: Mapping[str, Any], message: str):
    """Without one of its factors an update would change nothing, and the base's results be taken for the adapter's."""
    path = adapter / "adapter.safetensors"
    tensors = {name: tensor.to(**change, copy=True) for name, tensor in load_file(path).items() if kept in name}
    save_file(tensors or {"text_encoder.norm_final.bias": torch.zeros(load_width(adapter))}, path)
    with pytest.raises(ValueError, match=rf"^adapter\.safetensors {message}"):
        sycoca.load(adapter, verify=False)


def load_width(folder: Path) -> int:
    return json.loads((folder / "config.json").read_text())["model"]["text_encoder"]["width"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"rank": 0}, "adapter.rank must be at least 1, got 0"), ({"alpha": 0.0}, "adapter.alpha must be positive")],
)
def test_numbers_of_an_adapter(adapter: Path, changes: Mapping[str, float], message: str):
    with_adapter(adapter, **changes)
    with pytest.raises(ValueError, match=message):
        sycoca.load(adapter, verify=False)
    with pytest.raises(ValueError, match="nan"):
        AdapterConfig(rank=1, alpha=float("nan"), base="base", base_sha256="")


def test_a_base_that_is_named_is_said_to_be_none(adapter: Path):
    run = BASE.parent
    with pytest.raises(ValueError, match=rf"^{run} holds no weights .*it is the folder of a run; its weights are"):
        sycoca.load(adapter, base=run)
    with pytest.raises(ValueError, match=rf"^{adapter} holds no weights of a whole model, .*name the weights that the"):
        sycoca.load(adapter, base=adapter)


def test_the_base_of_an_adapter_is_not_replaced_by_a_checkpoint(adapter: Path, tmp_path: Path):
    base = tmp_path / "base"
    loaded = load_weights(BASE)
    save_weights(base, loaded.model, loaded.tokenizer, loaded.config)
    with_adapter(adapter, base=str(base))
    with pytest.raises(OutputError, match="would replace what it is made from"):
        open_clip_outputs(base / "model.safetensors", adapter, overwrite=True)[0].check()
