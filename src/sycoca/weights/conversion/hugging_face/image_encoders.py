"""Reading of Hugging Face's CLIP (its vision tower alone), SigLIP, ViT, ViTMAE, DINOv2 and DINOv3 as image encoders."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Shaped
from torch import Tensor

from sycoca.model.config import ImageEncoderConfig
from sycoca.model.image_encoder import ImageEncoder
from sycoca.weights.conversion.checkpoint_files import Checkpoint, read_checkpoint
from sycoca.weights.conversion.config_fields import section, with_own_values
from sycoca.weights.conversion.hugging_face.folding import (
    with_projected_probe,
    with_zero_biases,
    without_layer_scale,
    without_patch_bias,
)
from sycoca.weights.conversion.hugging_face.names import (
    hf_clip_image_table,
    hf_dino2_table,
    hf_dino3_table,
    hf_siglip_table,
    hf_vit_table,
)
from sycoca.weights.conversion.hugging_face.sizes import (
    CHECKPOINT_NAMES,
    CLIP_VISION,
    CONFIG_NAME,
    image_encoder_config,
)
from sycoca.weights.conversion.renaming import Table, to_ours
from sycoca.weights.tensors.shapes import shapes_of

_ENCODERS_IN_MODELS = ("vit", "dinov2", "dinov2_with_registers", "vision_model", "model")
"""Names that encoders, or their blocks, have in models with a head and in later versions."""

_DROPPED_OF_ENCODERS = {
    "classifier.": "classifier",
    "pooler.": "pooler",
    "decoder.": "pixel decoder",
    "embeddings.mask_token": "mask token",
    "text_model.": "text encoder",
    "visual_projection.": "projection into the joint space",
    "logit_": "temperature and bias of the sigmoid loss",
}
"""Parts of a model beside its image encoder, by the prefix of their tensors' names; dropped on purpose."""

_VIT = {**CLIP_VISION, "patch_size": 16, "hidden_act": "gelu", "layer_norm_eps": 1e-12, "qkv_bias": True}
_SIGLIP = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 224,
    "patch_size": 16,
    "hidden_act": "gelu_pytorch_tanh",
    "layer_norm_eps": 1e-6,
    "vision_use_head": True,
}
_DINO2 = {
    **_VIT,
    "patch_size": 14,
    "layer_norm_eps": 1e-6,
    "mlp_ratio": 4.0,
    "use_swiglu_ffn": False,
    "num_register_tokens": 4,
}
_DINO3 = {
    "hidden_size": 384,
    "intermediate_size": 1536,
    "num_hidden_layers": 12,
    "num_attention_heads": 6,
    "image_size": 224,
    "patch_size": 16,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-5,
    "num_register_tokens": 0,
    "rope_theta": 100.0,
    "use_gated_mlp": False,
    "query_bias": True,
    "key_bias": False,
    "value_bias": True,
    "proj_bias": True,
    "mlp_bias": True,
}
"""Default sizes; Hugging Face saves only those that differ."""

_BIASES_OF_DINO3 = {
    "query_bias": ("q_proj",),
    "key_bias": ("k_proj",),
    "value_bias": ("v_proj",),
    "proj_bias": ("o_proj",),
    "mlp_bias": ("gate_proj", "up_proj", "down_proj"),
}
"""The layers whose biases each field of its sizes switches."""

EncoderKind = Literal["CLIP", "ViT", "DINOv2", "DINOv3", "SigLIP"]
"""Kinds of image encoders without a text encoder that could be used."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HfImageEncoder:
    """The image encoder of a CLIP, SigLIP, ViT, ViTMAE, DINOv2 or DINOv3."""

    kind: EncoderKind
    """What it is, for the image processor that is assumed where none is saved."""

    config: ImageEncoderConfig
    """Its architecture."""

    tensors: dict[str, Shaped[Tensor, "..."]]
    """Tensors by their names in `ImageEncoder`; there is no projection."""

    dropped: tuple[str, ...]
    """Parts of the file that an `ImageEncoder` does not have."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Architecture:
    """What config.json says about an image encoder."""

    kind: EncoderKind
    config: ImageEncoderConfig
    table: Table
    layers_without_bias: tuple[str, ...] = ()
    """Layers that have a bias in ours."""


def read_image_encoder(
    folder: Path, described: Mapping[str, Any], dtype: torch.dtype, checkpoint: Checkpoint | None = None
) -> HfImageEncoder:
    """Read the image encoder of a folder whose config.json says ``described``, a type of `IMAGE_ENCODERS`.

    What ours does not have is folded into other tensors in ``dtype``. ``checkpoint`` is the folder's, where it has been
    read already. Raises ValueError as `read_hugging_face` does.
    """
    architecture = IMAGE_ENCODERS[described["model_type"]](described, f"{folder / CONFIG_NAME}: ")
    checkpoint = read_checkpoint(folder, CHECKPOINT_NAMES) if checkpoint is None else checkpoint
    named = {_in_encoder(name): tensor.to(dtype) for name, tensor in checkpoint.tensors.items() if tensor.numel()}
    tensors = {name: tensor for name, tensor in named.items() if not name.startswith(tuple(_DROPPED_OF_ENCODERS))}
    dropped = tuple(
        part for start, part in _DROPPED_OF_ENCODERS.items() if any(name.startswith(start) for name in named)
    )
    with torch.device("meta"):
        encoder = ImageEncoder(architecture.config, embed_dim=1)
    tensors = with_zero_biases(tensors, architecture.layers_without_bias)
    tensors = with_projected_probe(without_layer_scale(without_patch_bias(tensors)))
    return HfImageEncoder(
        kind=architecture.kind,
        config=architecture.config,
        tensors=to_ours(tensors, architecture.table, shapes_of(encoder.state_dict()), str(folder)),
        dropped=(*dropped, *checkpoint.dropped),
    )


def _clip_vision(described: Mapping[str, Any], where: str) -> _Architecture:
    config = image_encoder_config(with_own_values(CLIP_VISION, described, where), where, has_norm_pre=True)
    return _Architecture(kind="CLIP", config=config, table=hf_clip_image_table(config))


def _vit(described: Mapping[str, Any], where: str) -> _Architecture:
    sizes = with_own_values(_VIT, described, where)
    _check_qkv_bias(sizes, where)
    config = image_encoder_config(sizes, where, has_norm_pre=False)
    return _Architecture(kind="ViT", config=config, table=hf_vit_table(config))


def _dino2(described: Mapping[str, Any], where: str) -> _Architecture:
    sizes = with_own_values(_DINO2, described, where)
    _check_qkv_bias(sizes, where)
    sizes["intermediate_size"] = int(sizes["hidden_size"] * sizes["mlp_ratio"])
    is_gated = sizes["use_swiglu_ffn"]
    if is_gated:
        # Two thirds, for as many values as without the gate, in the next multiple of 8.
        sizes["intermediate_size"] = (int(sizes["intermediate_size"] * 2 / 3) + 7) // 8 * 8
    config = image_encoder_config(sizes, where, has_norm_pre=False, is_gated=is_gated)
    if described["model_type"] == "dinov2_with_registers":
        config = replace(config, num_registers=sizes["num_register_tokens"])
    return _Architecture(kind="DINOv2", config=config, table=hf_dino2_table(config))


def _check_qkv_bias(sizes: Mapping[str, Any], where: str) -> None:
    if not sizes["qkv_bias"]:
        raise ValueError(f"{where}qkv_bias is false, which cannot be converted")


def _dino3(described: Mapping[str, Any], where: str) -> _Architecture:
    sizes = with_own_values(_DINO3, described, where)
    is_gated = sizes["use_gated_mlp"]
    if is_gated and sizes["hidden_act"] != "silu":
        raise ValueError(f"{where}hidden_act is {sizes['hidden_act']!r}, a gated MLP can be converted with silu only")
    config = replace(
        image_encoder_config(sizes, where, has_norm_pre=False, is_gated=is_gated),
        num_registers=sizes["num_register_tokens"],
        position_embedding="rotary",
        rope_theta=float(sizes["rope_theta"]),
    )
    without_bias = tuple(layer for name, layers in _BIASES_OF_DINO3.items() if not sizes[name] for layer in layers)
    return _Architecture(kind="DINOv3", config=config, table=hf_dino3_table(config), layers_without_bias=without_bias)


def _siglip(described: Mapping[str, Any], where: str) -> _Architecture:
    is_nested = "vision_config" in described
    own = section(described, "vision_config", where) if is_nested else described
    where = f"{where}vision_config." if is_nested else where
    sizes = with_own_values(_SIGLIP, own, where)
    config = image_encoder_config(sizes, where, has_norm_pre=False)
    config = replace(config, pooling="map" if sizes["vision_use_head"] else "mean")
    return _Architecture(kind="SigLIP", config=config, table=hf_siglip_table(config))


IMAGE_ENCODERS: Mapping[str, Callable[[Mapping[str, Any], str], _Architecture]] = {
    "clip_vision_model": _clip_vision,
    "siglip": _siglip,
    "siglip_vision_model": _siglip,
    "vit": _vit,
    "vit_mae": _vit,
    "dinov2": _dino2,
    "dinov2_with_registers": _dino2,
    "dinov3_vit": _dino3,
}
"""How the architecture of each type of model is read."""


def _in_encoder(name: str) -> str:
    """Return the name that a tensor has in the encoder, without that of a model with a head."""
    first, _, rest = name.partition(".")
    return rest if first in _ENCODERS_IN_MODELS else name
