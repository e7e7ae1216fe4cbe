"""Weights folders: config.json, model.safetensors, tokenizer.json and a model card. Nothing is pickled."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from sycoca.model.sycoca import SyCoCa
from sycoca.plain_data import to_plain
from sycoca.preprocess.tokenizer import Tokenizer
from sycoca.weights.atomic_folder import atomic_folder
from sycoca.weights.config import CONFIG_NAME, FORMAT_VERSION, WeightsConfig, read_weights_config
from sycoca.weights.model_card import model_card

TENSORS_NAME = "model.safetensors"
TOKENIZER_NAME = "tokenizer.json"
CARD_NAME = "README.md"
_FILE_NAMES = (CONFIG_NAME, TENSORS_NAME, TOKENIZER_NAME, CARD_NAME)


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadedWeights:
    """What a weights folder holds."""

    model: SyCoCa
    """On the CPU, in evaluation mode."""

    tokenizer: Tokenizer
    """The tokenizer it was trained with."""

    config: WeightsConfig
    """Sizes, masking and transforms."""


def save_weights(
    folder: str | Path, model: SyCoCa, tokenizer: Tokenizer, config: WeightsConfig, *, origin: str = ""
) -> None:
    """Write a weights folder, whole or not at all; one that is there is replaced.

    ``origin`` goes into the model card: how the weights came about and what they were measured at, as Markdown.
    Raises ValueError where the config or the tokenizer is not the model's, and where ``folder`` holds other things.
    """
    folder = Path(folder)
    _check_parts(model, tokenizer, config)
    _check_replaceable(folder)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with atomic_folder(folder) as unfinished:
        save_file(tensors, unfinished / TENSORS_NAME, metadata={"format": "pt"})
        tokenizer.save(unfinished / TOKENIZER_NAME)
        plain = {"format_version": FORMAT_VERSION, **to_plain(config)}
        (unfinished / CONFIG_NAME).write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")
        (unfinished / CARD_NAME).write_text(model_card(model, config, origin), encoding="utf-8")


def load_weights(folder: str | Path) -> LoadedWeights:
    """Read a weights folder.

    Raises ValueError where something is missing, damaged, left over, of another shape or written by a newer version.
    """
    folder = Path(folder)
    for name in (CONFIG_NAME, TENSORS_NAME, TOKENIZER_NAME):
        if not (folder / name).is_file():
            what = f"has no {name}" if folder.is_dir() else "is no folder"
            raise ValueError(f"{folder} {what}; a weights folder holds {CONFIG_NAME}, {TENSORS_NAME}, {TOKENIZER_NAME}")
    config = read_weights_config(folder)
    tokenizer = Tokenizer.load(folder / TOKENIZER_NAME)
    # On the meta device nothing is initialized: a large model loads as fast as its file can be read.
    with torch.device("meta"):
        model = SyCoCa(config.model)
    _check_parts(model, tokenizer, config)
    tensors = _read_tensors(folder / TENSORS_NAME)
    _check_tensors(folder, tensors, model)
    model.load_state_dict(tensors, assign=True)
    return LoadedWeights(model=model.eval(), tokenizer=tokenizer, config=config)


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged or no safetensors file: {error}") from error


def _check_tensors(folder: Path, tensors: dict[str, Tensor], model: SyCoCa) -> None:
    expected: dict[str, Any] = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found: dict[str, Any] = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    faults = {
        "lacks": sorted(expected.keys() - found.keys()),
        "has, unknown to its config,": sorted(found.keys() - expected.keys()),
        "has in another shape": [
            f"{name} {found[name]} instead of {expected[name]}"
            for name in sorted(expected.keys() & found.keys())
            if expected[name] != found[name]
        ],
    }
    for fault, names in faults.items():
        if names:
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            raise ValueError(
                f"{folder / TENSORS_NAME} {fault} {', '.join(names[:5])}{more}; it does not belong to {CONFIG_NAME}"
                " beside it: copy the whole folder again"
            )


def _check_parts(model: SyCoCa, tokenizer: Tokenizer, config: WeightsConfig) -> None:
    if model.config != config.model:
        raise ValueError("the config to save is of another model: its sizes differ from the model's own")
    vocab_size = config.model.text_encoder.vocab_size
    if tokenizer.vocab_size != vocab_size:
        raise ValueError(f"the tokenizer has {tokenizer.vocab_size} token ids, the model was built for {vocab_size}")


def _check_replaceable(folder: Path) -> None:
    if not folder.exists():
        return
    others = [path.name for path in folder.iterdir() if path.name not in _FILE_NAMES] if folder.is_dir() else ["it"]
    if others:
        raise ValueError(
            f"{folder} is there and no weights folder ({sorted(others)[0]} would be lost); choose another name"
        )
