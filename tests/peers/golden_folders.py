"""Folders ``goldens/hf_*``: the files of ``save_pretrained`` and a file of inputs and outputs. Needs transformers."""

import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import PreTrainedModel

FOLDER = Path(__file__).parent / "goldens"


def saved_peer(peer: PreTrainedModel, name: str) -> Path:
    shutil.rmtree(FOLDER / name, ignore_errors=True)
    peer.save_pretrained(FOLDER / name)
    return FOLDER / name


def save_outputs(folder: Path, inputs: dict[str, torch.Tensor], outputs: dict[str, torch.Tensor]) -> None:
    contents = {**inputs, **{f"output.{name}": tensor.contiguous() for name, tensor in outputs.items()}}
    save_file(contents, folder / "outputs.safetensors")
