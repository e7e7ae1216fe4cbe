"""Common checkpoint formats are read; files that would run code are refused by name, and the code does not run."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from sycoca.weights.conversion.checkpoint_files import read_checkpoint

TENSORS = {"visual.proj": torch.arange(6.0).reshape(2, 3), "logit_scale": torch.tensor(2.5)}


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.folder),)


def assert_same(path: Path) -> None:
    tensors = read_checkpoint(path).tensors
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert torch.equal(tensors[name], tensor)
        assert tensors[name].shape == tensor.shape


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".ckpt"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
@pytest.mark.parametrize("nested", [None, "state_dict", "model"])
def test_wrappers_and_nesting_are_removed(tmp_path: Path, suffix: str, prefix: str, nested: str | None):
    named: dict[str, Any] = {prefix + name: tensor for name, tensor in TENSORS.items()}
    content = named if nested is None else {"epoch": 3, "name": "a run", nested: named, "optimizer": {"state": {}}}
    torch.save(content, tmp_path / f"model{suffix}")
    assert_same(tmp_path / f"model{suffix}")


def test_safetensors_and_half_precision(tmp_path: Path):
    save_file({name: tensor.half() for name, tensor in TENSORS.items()}, tmp_path / "model.safetensors")
    assert_same(tmp_path / "model.safetensors")
    assert read_checkpoint(tmp_path / "model.safetensors").tensors["logit_scale"].dtype == torch.float32


def test_double_precision_is_kept(tmp_path: Path):
    save_file({name: tensor.double() for name, tensor in TENSORS.items()}, tmp_path / "model.safetensors")
    assert read_checkpoint(tmp_path).tensors["logit_scale"].dtype == torch.float64


def test_constant_buffers_are_dropped_and_named(tmp_path: Path):
    masks = {"text.attn_mask": torch.zeros(3, 3), "attn_mask": torch.zeros(2, 2), "x.position_ids": torch.arange(3)}
    torch.save(TENSORS | masks, tmp_path / "model.pt")
    read = read_checkpoint(tmp_path / "model.pt")
    assert read.tensors.keys() == TENSORS.keys()
    assert read.dropped == ("attn_mask", "text.attn_mask", "x.position_ids")


def test_a_folder_prefers_the_name_and_then_the_safe_format(tmp_path: Path):
    torch.save({"other": torch.zeros(1)}, tmp_path / "pytorch_model.bin")
    save_file(TENSORS, tmp_path / "model.safetensors")
    assert_same(tmp_path)
    preferred = read_checkpoint(tmp_path, ("pytorch_model.bin",))
    assert preferred.tensors.keys() == {"other"}


@pytest.mark.parametrize(("suffix", "save"), [(".safetensors", save_file), (".bin", torch.save)])
def test_sharded_checkpoints_are_joined(tmp_path: Path, suffix: str, save: Callable[[object, Path], object]):
    weight_map: dict[str, str] = {}
    for number, (name, tensor) in enumerate(TENSORS.items()):
        save({name: tensor}, tmp_path / f"model-{number}{suffix}")
        weight_map[name] = f"model-{number}{suffix}"
    (tmp_path / f"model{suffix}.index.json").write_text(json.dumps({"weight_map": weight_map}))
    assert_same(tmp_path)


def test_an_index_without_shards_is_refused(tmp_path: Path):
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(ValueError, match=r"index\.json names no files \(weight_map\)"):
        read_checkpoint(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"a": "gone.safetensors"}}')
    with pytest.raises(ValueError, match=r"names 1 files, of which 1 are not there, such as gone\.safetensors"):
        read_checkpoint(tmp_path)


def test_a_whole_file_goes_before_the_index_of_files_that_were_not_downloaded(tmp_path: Path):
    names = ("model.safetensors", "pytorch_model.bin")
    (tmp_path / "pytorch_model.bin.index.json").write_text('{"weight_map": {"a": "pytorch_model-1-of-2.bin"}}')
    save_file(TENSORS, tmp_path / "model.safetensors")
    assert read_checkpoint(tmp_path, names).tensors.keys() == TENSORS.keys()
    # A file of the other format does not go before pieces in safetensors.
    (tmp_path / "model.safetensors").rename(tmp_path / "model-1.safetensors")
    weight_map = dict.fromkeys(TENSORS, "model-1.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    torch.save({"other": torch.zeros(1)}, tmp_path / "pytorch_model.bin")
    assert read_checkpoint(tmp_path, names).tensors.keys() == TENSORS.keys()
    # Nor does an index of another project's files before the name that was asked for.
    assert read_checkpoint(tmp_path, names[1:]).tensors.keys() == {"other"}


@pytest.mark.parametrize("names", [[], ["a.pt", "b.pt"]])
def test_a_folder_without_one_checkpoint_is_refused(tmp_path: Path, names: list[str]):
    for name in names:
        torch.save(TENSORS, tmp_path / name)
    with pytest.raises(
        ValueError, match=r"found (none of .*; copy the file of its weights there|a\.pt, b\.pt; name the file itself)$"
    ):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize("is_nested", [False, True])
def test_code_in_a_pickle_is_refused_by_name_and_never_runs(tmp_path: Path, is_nested: bool):
    planted, path = tmp_path / "planted", tmp_path / "model.pt"
    bomb: dict[str, Any] = {**TENSORS, "extra": Bomb(planted)}
    torch.save({"state_dict": TENSORS, "args": Bomb(planted)} if is_nested else bomb, path)
    with pytest.raises(ValueError, match=r"nothing of it was executed: it holds code \((posix|nt)\.mkdir\)"):
        read_checkpoint(path)
    assert not planted.exists()
    torch.load(path, weights_only=False)  # it was a real one
    assert planted.exists()


def test_a_torchscript_program_is_refused(tmp_path: Path):
    with pytest.warns(DeprecationWarning, match="jit"):
        torch.jit.script(torch.nn.Linear(2, 2)).save(str(tmp_path / "ViT-B-32.pt"))
    with pytest.raises(ValueError, match="is a TorchScript program, as OpenAI published its CLIP, and is not run"):
        read_checkpoint(tmp_path / "ViT-B-32.pt")


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"not a checkpoint at all", None])
def test_damaged_files_give_an_error_of_one_line(tmp_path: Path, suffix: str, content: bytes | None):
    path = tmp_path / f"model{suffix}"
    if content is None:
        (torch.save if suffix == ".pt" else save_file)(TENSORS, path)
        content = path.read_bytes()[: path.stat().st_size // 2]
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"^{path} is (damaged|refused)") as caught:
        read_checkpoint(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [([1, 2], "holds no tensors by name"), ({"a": 1}, "holds no tensors by name"), ({}, "holds no tensors")],
)
def test_other_contents_are_refused(tmp_path: Path, content: Any, message: str):
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(ValueError, match=message):
        read_checkpoint(tmp_path / "model.pt")


def test_missing_files_and_other_suffixes_are_named(tmp_path: Path):
    with pytest.raises(ValueError, match=r"nowhere\.pt does not exist"):
        read_checkpoint(tmp_path / "nowhere.pt")
    (tmp_path / "model.onnx").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"cannot be read as a checkpoint: its name should end with \.safetensors"):
        read_checkpoint(tmp_path / "model.onnx")


def test_quantized_weights_are_refused(tmp_path: Path):
    """Without their scales the numbers mean nothing, and converted weights would look sound."""
    save_file({**TENSORS, "x.weight": torch.ones(2, 2, dtype=torch.int8)}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"has torch\.int8 in x\.weight: it is quantized; take the weights in float"):
        read_checkpoint(tmp_path)
