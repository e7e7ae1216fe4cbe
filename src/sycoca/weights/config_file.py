"""Reading of ``config.json`` of a weights folder. Imports no torch."""

import shlex
from pathlib import Path
from typing import Any

from sycoca.file_names import has_suffix
from sycoca.plain_data import from_plain
from sycoca.texts import read_small_json
from sycoca.weights.config import CONFIG_NAME, FORMAT_VERSION, OPEN_CLIP_CONFIG_NAME, PARTS_KEY, WeightsConfig
from sycoca.weights.integrity import check_integrity


def read_weights_config(folder: Path) -> WeightsConfig:
    """Read the config of a weights folder; fields that an older version did not write take their defaults.

    Raises ValueError where it is damaged, written by a newer version, or of a folder that holds an image encoder alone.
    """
    check_integrity(folder, (CONFIG_NAME,), includes_others=False)
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
    is_file_of_tensors = path.is_file() and has_suffix(path, ".safetensors", ".pt", ".pth", ".bin", ".ckpt")
    if is_file_of_tensors or (path / OPEN_CLIP_CONFIG_NAME).is_file():
        return _convert_with("from-open-clip", path)
    if (path / "weights" / CONFIG_NAME).is_file():
        return f"it is the folder of a run; its weights are {path / 'weights'}"
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
        raise ValueError(f"{folder} is a model of Hugging Face's transformers; {_convert_with('from-hf', folder)}")
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
