"""Initial weights of components: from a weights folder, or from a folder that holds an image encoder alone.

The latter has config.json with ``"parts": ["image_encoder"]``, model.safetensors, a model card and a manifest; without
text encoder and tokenizer it is usable only to initialize training.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from sycoca.facts.head_facts import HEADS
from sycoca.facts.limit_facts import PARTS
from sycoca.model.config import ImageEncoderConfig
from sycoca.model.image_encoder import ImageEncoder
from sycoca.outputs.manifest import folder_with_manifest
from sycoca.plain_data import from_plain
from sycoca.preprocess.config import ImageTransformConfig
from sycoca.preprocess.tokenizer import Tokenizer
from sycoca.weights.config import (
    CARD_NAME,
    CONFIG_NAME,
    MODEL_FILES,
    PARTS_KEY,
    TENSORS_NAME,
    WeightsConfig,
)
from sycoca.weights.config_file import instead, read_plain_config
from sycoca.weights.folder import check_replaceable, check_tensors, lack_of, load_weights, read_tensors
from sycoca.weights.integrity import check_integrity
from sycoca.weights.plain_config import versioned_plain
from sycoca.weights.tensors.shapes import first_difference, shapes_of

PART_NAMES = {
    "image_encoder": "image encoder",
    "text_encoder": "text encoder",
    "text_decoder": PARTS["text_decoder"].title,
    "image_decoder": PARTS["image_decoder"].title,
    "log_logit_scale": "temperature",
    "logit_bias": "logit bias",
    **{head: PARTS[head].title for head in HEADS},
}
"""Readable names of the components of a model; the keys are the prefixes of their tensors' names."""

OPTIONAL_PARTS = {facts.field: facts.title for facts in PARTS.values()}
"""The same for optional components; the keys are the fields of a model's config that are None without them."""

_PREFIX = "image_encoder."
_PROJECTION = "projection.weight"


@dataclass(frozen=True, kw_only=True, slots=True)
class _ImageEncoderAlone:
    """Contents of config.json beside its version."""

    parts: tuple[Literal["image_encoder"]]
    image_encoder: ImageEncoderConfig
    transforms: ImageTransformConfig
    embed_dim: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class PartsConfig:
    """Configuration of the components that a folder holds."""

    image_encoder: ImageEncoderConfig
    """Architecture of the image encoder, which every folder has."""

    transforms: ImageTransformConfig
    """Image preprocessing with which it was trained."""

    embed_dim: int | None
    """Size of the joint space; None where the image encoder has no projection."""

    weights: WeightsConfig | None
    """Configuration of the whole model; None for an image encoder alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadedParts:
    """The components in a folder: a whole model, or an image encoder alone."""

    config: PartsConfig
    """Architecture and image transforms."""

    tensors: dict[str, Tensor]
    """Tensors by their names in the model, on the CPU."""

    tokenizer: Tokenizer | None
    """The text encoder's tokenizer; None for an image encoder alone."""


def part_of(tensor_name: str) -> str:
    """Return the component that a tensor belongs to, a key of `PART_NAMES`."""
    return tensor_name.split(".", 1)[0]


def save_image_encoder(
    folder: str | Path,
    config: ImageEncoderConfig,
    tensors: Mapping[str, Tensor],
    transforms: ImageTransformConfig,
    *,
    summary: str = "",
) -> None:
    """Write a folder that holds an image encoder alone, atomically; an existing weights folder is replaced.

    ``tensors`` are those of `ImageEncoder.state_dict`; ``projection.weight`` may be missing, as in encoders that were
    trained without captions. ``summary`` goes into the model card: the source of the weights, as Markdown. Raises
    ValueError where tensors are missing, unexpected or of another shape, and where ``folder`` holds other files.
    """
    folder = Path(folder)
    embed_dim = _embed_dim(config, tensors)
    _check_own(_encoder(config, embed_dim), tensors)
    check_replaceable(folder)
    saved = {_PREFIX + name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    own = _ImageEncoderAlone(parts=("image_encoder",), image_encoder=config, transforms=transforms, embed_dim=embed_dim)
    with folder_with_manifest(folder, "weights", MODEL_FILES) as unfinished:
        save_file(saved, unfinished / TENSORS_NAME, metadata={"format": "pt"})
        text = json.dumps(versioned_plain(own), indent=2)
        (unfinished / CONFIG_NAME).write_text(text + "\n", encoding="utf-8")
        num_parameters = sum(tensor.numel() for tensor in saved.values())
        (unfinished / CARD_NAME).write_text(_card(config, num_parameters, summary), encoding="utf-8")


def read_parts_config(folder: str | Path) -> PartsConfig:
    """Read the config of a weights folder, or of one that holds an image encoder alone.

    Raises ValueError where it is missing, damaged, written by a newer version or not the one of the manifest.
    """
    folder = Path(folder)
    path = folder / CONFIG_NAME
    check_integrity(folder, (CONFIG_NAME,), includes_others=False)
    if not path.is_file():
        raise ValueError(f"{folder} {lack_of(folder, CONFIG_NAME)}; {instead(folder, 'name a weights folder')}")
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
    """Read a weights folder, or one that holds an image encoder alone; raises as `load_weights` does."""
    folder = Path(folder)
    config = read_parts_config(folder)
    if config.weights is not None:
        loaded = load_weights(folder)
        return LoadedParts(config=config, tensors=loaded.model.state_dict(), tokenizer=loaded.tokenizer)
    check_integrity(folder, (CONFIG_NAME, TENSORS_NAME))
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
    """Return an image encoder on the meta device; without ``embed_dim`` it has no projection."""
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


def _card(config: ImageEncoderConfig, num_parameters: int, summary: str) -> str:
    return f"""---
library_name: sycoca
tags: [image-feature-extraction, sycoca]
---

# A pretrained image encoder

{num_parameters:,} parameters: {config.image_size} px, patches of {config.patch_size} px, width {config.width},
{config.depth} blocks, pooling `{config.pooling}`. There is no text encoder: it is only for initializing training.

## Provenance

{summary.strip() or "Not recorded."}

## Use

```sh
sycoca pretrain PRESET --start.weights this/folder --data.train captions.jsonl
```
"""
