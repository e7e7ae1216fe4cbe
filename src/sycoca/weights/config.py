"""The configuration in a weights folder. Imports no torch."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sycoca.facts.head_facts import HEADS, HeadName
from sycoca.facts.limit_facts import ModelLimits
from sycoca.model.config import SyCoCaConfig
from sycoca.model.masking_config import MaskingConfig
from sycoca.plain_data import from_plain
from sycoca.preprocess.config import ImageTransformConfig
from sycoca.texts import read_small_json, refuse_text

CONFIG_NAME = "config.json"
TENSORS_NAME = "model.safetensors"
TOKENIZER_NAME = "tokenizer.json"
CARD_NAME = "README.md"
FILE_NAMES = (CONFIG_NAME, TENSORS_NAME, TOKENIZER_NAME, CARD_NAME)
"""The files of a weights folder."""

OPEN_CLIP_CONFIG_NAME = "open_clip_config.json"
"""The file that identifies a folder of open_clip."""

FORMAT_VERSION = 3
"""Increases when folders change in a way that older versions cannot read. 2: the architectures of converted weights,
and their history. 3: the limits of a model."""

PARTS_KEY = "parts"
"""The key of a config that lists which components a folder holds; the config of a whole model lacks it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightsConfig:
    """All that is needed, beside tensors and tokenizer, to use a model as it was trained."""

    model: SyCoCaConfig
    """Architecture, with the vocabulary size of the tokenizer."""

    masking: MaskingConfig
    """Attentive masking as in training."""

    transforms: ImageTransformConfig
    """Image preprocessing."""

    normalizes_patches: bool = True
    """Whether the image decoder predicts pixels normalized per patch (MAE's norm_pix_loss), or plain ones."""

    answers: tuple[str, ...] | None = None
    """The answers of the VQA head, in the order of its outputs."""

    answers_exclude_each_other: bool = False
    """Whether the answers' probabilities sum to 1 (a head trained with softmax), or are independent (sigmoid)."""

    class_names: tuple[str, ...] | None = None
    """The classes of the classification head, in the order of its outputs."""

    history: tuple[str, ...] = ()
    """How the weights were made, one sentence of Markdown per step in order, for the model card."""

    limits: ModelLimits | None = None
    """Abilities that training has spoiled, and why parts are missing; None in folders of earlier versions."""

    def __post_init__(self) -> None:
        refuse_text(self.history, "history")
        for head, names in self.head_names.items():
            name, number = HEADS[head].names_field, getattr(self.model, HEADS[head].size_field)
            refuse_text(names, name)
            if (None if names is None else len(names)) != number:
                counted = "none" if names is None else len(names)
                raise ValueError(f"{name}: the model has a head for {number or 'none'}, the config names {counted}")

    @property
    def head_names(self) -> dict[HeadName, tuple[str, ...] | None]:
        """What the outputs of every head stand for; None where the model lacks the head."""
        names: dict[HeadName, tuple[str, ...] | None] = {}
        for head, facts in HEADS.items():
            names[head] = getattr(self, facts.names_field)
        return names


def read_weights_config(folder: Path) -> WeightsConfig:
    """Read the config of a weights folder; fields that an older version did not write take their defaults.

    Raises ValueError where it is damaged, written by a newer version, or of a folder that holds an image encoder alone.
    """
    refuse_parts(folder)
    return from_plain(WeightsConfig, read_plain_config(folder), where=str(folder / CONFIG_NAME))


def refuse_parts(folder: Path) -> None:
    """Raise ValueError where a folder holds an image encoder alone, which is usable only to initialize training."""
    if (folder / CONFIG_NAME).is_file() and PARTS_KEY in read_plain_config(folder):
        raise ValueError(
            f"{folder} holds an image encoder alone, which can only initialize training:"
            f" sycoca pretrain PRESET --start.weights {shlex.quote(str(folder))}"
        )


def instead(path: Path, otherwise: str) -> str:
    """Return advice for a path that is not a weights folder: ``otherwise``, unless its kind is recognized."""
    if path.is_file() and (path.parent / CONFIG_NAME).is_file():
        return f"name the folder that contains it, {path.parent}"
    is_file_of_tensors = path.is_file() and path.suffix in (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
    if is_file_of_tensors or (path / OPEN_CLIP_CONFIG_NAME).is_file():
        return _convert_with("from-open-clip", path)
    return otherwise


def read_plain_config(folder: Path) -> dict[str, Any]:
    """Read a folder's config without its format_version; ValueError where it is damaged or newer than this version."""
    path = folder / CONFIG_NAME
    try:
        plain = read_small_json(path)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    version = plain.pop("format_version", None) if isinstance(plain, dict) else None
    if version is None and isinstance(plain, dict) and "model_type" in plain:
        raise ValueError(f"{folder} is a model of Hugging Face's transformers; {_convert_with('from-hf-clip', folder)}")
    if type(version) is not int or version < 1:
        raise ValueError(f"{path} is not the config of a weights folder: it has no format_version")
    if version > FORMAT_VERSION:
        raise ValueError(
            f"{path} has format_version {version}, this version of sycoca reads up to {FORMAT_VERSION}; update sycoca"
        )
    for key in ("model", "image_encoder"):
        _check_sizes(plain.get(key), f"{path}.{key}")
    return plain


def _convert_with(command: str, path: Path) -> str:
    return f"sycoca convert {command} {shlex.quote(str(path))} --out WEIGHTS converts it into a weights folder"


def _check_sizes(plain: object, where: str) -> None:
    """Raise ValueError where a size of the model is below 1; building it would fail without naming the file."""
    if isinstance(plain, dict):
        for key, value in plain.items():
            _check_sizes(value, f"{where}.{key}")
    elif type(plain) is int and plain < 1:
        raise ValueError(f"{where} must be at least 1, got {plain}")
