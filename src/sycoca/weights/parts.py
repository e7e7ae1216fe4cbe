"""Parts of models to start training from: those of a weights folder, or an image encoder in a folder of its own.

Such a folder has config.json with ``"parts": ["image_encoder"]``, model.safetensors and a model card; no text encoder
and no tokenizer, so that nothing can be done with it before training.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from sycoca.model.config import ImageEncoderConfig
from sycoca.model.image_encoder import ImageEncoder
from sycoca.plain_data import from_plain, to_plain
from sycoca.preprocess.config import ImageTransformConfig
from sycoca.preprocess.tokenizer import Tokenizer
from sycoca.weights.atomic_folder import atomic_folder
from sycoca.weights.config import (
    CARD_NAME,
    CONFIG_NAME,
    FORMAT_VERSION,
    PARTS_KEY,
    TENSORS_NAME,
    WeightsConfig,
    instead,
    read_plain_config,
)
from sycoca.weights.folder import check_replaceable, check_tensors, load_weights, read_tensors
from sycoca.weights.shapes import first_difference, shapes_of

PART_NAMES = {
    "image_encoder": "image encoder",
    "text_encoder": "text encoder",
    "text_decoder": "text decoder",
    "image_decoder": "image decoder",
    "log_logit_scale": "temperature",
    "answer_head": "head for answers",
    "class_head": "head for classes",
}
"""What people call the parts of a model; the keys begin the names of their tensors."""

OPTIONAL_PARTS = {
    "text_decoder": PART_NAMES["text_decoder"],
    "image_decoder": PART_NAMES["image_decoder"],
    "num_answers": PART_NAMES["answer_head"],
    "num_classes": PART_NAMES["class_head"],
}
"""The same of those that a model may lack; the keys are the fields of its config that are None where it does."""

_PREFIX = "image_encoder."
_PROJECTION = "projection.weight"


@dataclass(frozen=True, kw_only=True, slots=True)
class _ImageEncoderAlone:
    """What config.json says beside its version."""

    parts: tuple[Literal["image_encoder"]]
    image_encoder: ImageEncoderConfig
    transforms: ImageTransformConfig
    embed_dim: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class PartsConfig:
    """What a folder says of the parts of a model that it holds."""

    image_encoder: ImageEncoderConfig
    """Sizes and forms of the image encoder, which every folder has."""

    transforms: ImageTransformConfig
    """From pictures to the pixels that it was trained on."""

    embed_dim: int | None
    """Size of the joint space that it ends in; None where its projection is missing."""

    weights: WeightsConfig | None
    """All that is known of a whole model; None where there is an image encoder alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadedParts:
    """What a folder holds of a model: all of it, or its image encoder alone."""

    config: PartsConfig
    """Sizes and transforms."""

    tensors: dict[str, Tensor]
    """By their names in the model, on the CPU."""

    tokenizer: Tokenizer | None
    """The text encoder's; None where there is none."""


def part_of(tensor_name: str) -> str:
    """Return the part that a tensor belongs to, a key of `PART_NAMES`."""
    return tensor_name.split(".", 1)[0]


def save_image_encoder(
    folder: str | Path,
    config: ImageEncoderConfig,
    tensors: Mapping[str, Tensor],
    transforms: ImageTransformConfig,
    *,
    origin: str = "",
) -> None:
    """Write an image encoder as a folder of its own, whole or not at all; a weights folder that is there is replaced.

    ``tensors`` are those of `ImageEncoder.state_dict`; ``projection.weight`` may be missing, as in encoders that were
    trained without captions. ``origin`` goes into the model card: where the weights are from, as Markdown. Raises
    ValueError where tensors are missing, left over or of another shape, and where ``folder`` holds other things.
    """
    folder = Path(folder)
    embed_dim = _embed_dim(config, tensors)
    _check_own(_encoder(config, embed_dim), tensors)
    check_replaceable(folder)
    saved = {_PREFIX + name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    own = _ImageEncoderAlone(parts=("image_encoder",), image_encoder=config, transforms=transforms, embed_dim=embed_dim)
    with atomic_folder(folder) as unfinished:
        save_file(saved, unfinished / TENSORS_NAME, metadata={"format": "pt"})
        text = json.dumps({"format_version": FORMAT_VERSION, **to_plain(own)}, indent=2)
        (unfinished / CONFIG_NAME).write_text(text + "\n", encoding="utf-8")
        num_parameters = sum(tensor.numel() for tensor in saved.values())
        (unfinished / CARD_NAME).write_text(_card(config, num_parameters, origin), encoding="utf-8")


def read_parts_config(folder: str | Path) -> PartsConfig:
    """Read the config of a weights folder, or of one that holds an image encoder alone.

    Raises ValueError where it is missing, damaged or written by a newer version.
    """
    folder = Path(folder)
    path = folder / CONFIG_NAME
    if not path.is_file():
        what = f"has no {CONFIG_NAME}" if folder.is_dir() else "is no folder"
        raise ValueError(f"{folder} {what}; {instead(folder, 'name a weights folder')}")
    plain = read_plain_config(folder)
    if PARTS_KEY in plain:
        own = from_plain(_ImageEncoderAlone, plain, where=str(path))
        return PartsConfig(
            image_encoder=own.image_encoder, transforms=own.transforms, embed_dim=own.embed_dim, weights=None
        )
    weights = from_plain(WeightsConfig, plain, where=str(path))
    return PartsConfig(
        image_encoder=weights.model.image_encoder,
        transforms=weights.transforms,
        embed_dim=weights.model.embed_dim,
        weights=weights,
    )


def load_parts(folder: str | Path) -> LoadedParts:
    """Read a weights folder, or one that holds an image encoder alone.

    Raises ValueError where something is missing, damaged, left over, of another shape or written by a newer version.
    """
    folder = Path(folder)
    config = read_parts_config(folder)
    if config.weights is not None:
        loaded = load_weights(folder)
        return LoadedParts(config=config, tensors=loaded.model.state_dict(), tokenizer=loaded.tokenizer)
    if not (folder / TENSORS_NAME).is_file():
        raise ValueError(f"{folder} has no {TENSORS_NAME}; copy the whole folder again")
    tensors = read_tensors(folder / TENSORS_NAME)
    check_tensors(folder, tensors, nn.ModuleDict({"image_encoder": _encoder(config.image_encoder, config.embed_dim)}))
    return LoadedParts(config=config, tensors=tensors, tokenizer=None)


def _embed_dim(config: ImageEncoderConfig, tensors: Mapping[str, Tensor]) -> int | None:
    if not config.is_projected:
        return config.pooler.width
    return len(tensors[_PROJECTION]) if _PROJECTION in tensors else None


def _encoder(config: ImageEncoderConfig, embed_dim: int | None) -> ImageEncoder:
    """Return an image encoder without numbers; without a joint space it has no projection."""
    with torch.device("meta"):
        if embed_dim is not None:
            return ImageEncoder(config, embed_dim)
        encoder = ImageEncoder(config, 1)
        encoder.projection = nn.Identity()
        return encoder


def _check_own(encoder: ImageEncoder, tensors: Mapping[str, Tensor]) -> None:
    difference = first_difference(shapes_of(tensors), shapes_of(encoder.state_dict()))
    if difference is not None:
        raise ValueError(
            f"the tensors to save are not those of the image encoder: {difference.name} has shape {difference.found}"
            f" instead of {difference.expected}"
        )


def _card(config: ImageEncoderConfig, num_parameters: int, origin: str) -> str:
    return f"""---
library_name: sycoca
tags: [image-feature-extraction, sycoca]
---

# An image encoder to start from

{num_parameters:,} parameters: {config.image_size} px, patches of {config.patch_size} px, width {config.width},
{config.depth} blocks, pooling `{config.pooling}`. There is no text encoder: it is of no use before training.

## Provenance

{origin.strip() or "Not recorded."}

## Use

```sh
sycoca pretrain PRESET --start.weights this/folder --data.train captions.jsonl
```
"""
