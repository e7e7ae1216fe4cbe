"""Reading of Hugging Face's CLIP as a SyCoCa model, and of SigLIP, ViT, ViTMAE and DINOv2 as image encoders."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Shaped
from torch import Tensor

from sycoca.model.config import MLP_RATIO, ImageEncoderConfig, SyCoCaConfig, TextEncoderConfig
from sycoca.model.forms import Activation
from sycoca.model.image_encoder import ImageEncoder
from sycoca.model.sycoca import SyCoCa
from sycoca.weights.conversion.checkpoint_files import read_checkpoint, read_json
from sycoca.weights.conversion.hf_names import hf_clip_table, hf_dino_table, hf_siglip_table, hf_vit_table
from sycoca.weights.conversion.renaming import Table, filled_model, to_ours, to_theirs
from sycoca.weights.tensors.shapes import shapes_of

_HF_ACTIVATIONS: Mapping[str, Activation] = {
    "gelu": "gelu",
    "quick_gelu": "quick_gelu",
    "gelu_pytorch_tanh": "gelu_tanh",
}

CHECKPOINT_NAMES = ("model.safetensors", "pytorch_model.bin")
CONFIG_NAME = "config.json"

_PATCH_BIASES = (
    ("embeddings.patch_embeddings.projection.bias", "embeddings.position_embeddings", 1),
    ("embeddings.patch_embedding.bias", "embeddings.position_embedding.weight", 0),
)
"""The names of the patch embedding's bias and of the position embeddings, and how many of these are of no patch."""

_ENCODERS_IN_MODELS = ("vit", "dinov2", "dinov2_with_registers", "vision_model")
"""Names that encoders have in models with a head."""

_SCALED_LAYERS = {"1": "attention.output.dense", "2": "mlp.fc2"}
"""The layers whose outputs DINOv2's layer scales multiply."""

_DROPPED_OF_ENCODERS = {
    "classifier.": "classifier",
    "pooler.": "pooler",
    "decoder.": "pixel decoder",
    "embeddings.mask_token": "mask token",
    "head.": "attention-pooling head",
    "text_model.": "text encoder",
    "logit_": "temperature and bias of the sigmoid loss",
}
"""Parts of a model beside its image encoder, by the prefix of their tensors' names; dropped on purpose."""

_CLIP_VISION = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 224,
    "patch_size": 32,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
}
_CLIP_TEXT = {
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "max_position_embeddings": 77,
    "vocab_size": 49408,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
}
_VIT = {**_CLIP_VISION, "patch_size": 16, "hidden_act": "gelu", "layer_norm_eps": 1e-12, "qkv_bias": True}
_SIGLIP = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 224,
    "patch_size": 16,
    "hidden_act": "gelu_pytorch_tanh",
    "layer_norm_eps": 1e-6,
}
_DINO = {
    **_VIT,
    "patch_size": 14,
    "layer_norm_eps": 1e-6,
    "mlp_ratio": 4,
    "use_swiglu_ffn": False,
    "num_register_tokens": 4,
}
"""Default sizes; Hugging Face saves only those that differ."""


EncoderKind = Literal["ViT", "DINOv2", "SigLIP"]
"""Kinds of image encoders without a text encoder that could be used."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HfClip:
    """A CLIP of Hugging Face."""

    model: SyCoCa
    """With its tensors, on the CPU, in evaluation mode, without decoders."""

    dropped: tuple[str, ...]
    """Constant buffers of the file, which no model needs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HfImageEncoder:
    """The image encoder of a SigLIP, ViT, ViTMAE or DINOv2."""

    kind: EncoderKind
    """What it is, for the image processor that is assumed where none is saved."""

    config: ImageEncoderConfig
    """Its architecture."""

    tensors: dict[str, Shaped[Tensor, "..."]]
    """Tensors by their names in `ImageEncoder`; there is no projection."""

    dropped: tuple[str, ...]
    """Parts of the file that an `ImageEncoder` does not have."""


def read_hugging_face(folder: Path) -> HfClip | HfImageEncoder:
    """Read a folder that transformers saved: config.json beside model.safetensors or pytorch_model.bin.

    Raises ValueError for other types of models and for unsupported architectures.
    """
    folder = Path(folder)
    config_path = folder / CONFIG_NAME
    if not config_path.is_file():
        raise ValueError(
            f"{folder} has no {CONFIG_NAME}; give the folder of a CLIP, SigLIP, ViT, ViTMAE or DINOv2 of Hugging Face"
        )
    described = read_json(config_path)
    match described.get("model_type"):
        case "clip":
            return _clip(folder, described)
        case "vit" | "vit_mae":
            return _vit(folder, described)
        case "dinov2" | "dinov2_with_registers":
            return _dino(folder, described)
        case "siglip" | "siglip_vision_model":
            return _siglip(folder, described)
        case kind:
            known = "clip, siglip, vit, vit_mae, dinov2 and dinov2_with_registers"
            raise ValueError(f"{config_path} is of a model of type {kind!r}; {known} can be converted")


def hf_clip_tensors(model: SyCoCa) -> dict[str, Shaped[Tensor, "..."]]:
    """Return the tensors of a CLIP of ours under the names of CLIPModel."""
    return to_theirs(model.state_dict(), hf_clip_table(model.config))


def _clip(folder: Path, described: Mapping[str, Any]) -> HfClip:
    where = str(folder / CONFIG_NAME)
    # Sections named *_dict, which older versions saved, override the others, as in transformers.
    vision, text = (
        defaults | dict(described.get(name) or {}) | dict(described.get(f"{name}_dict") or {})
        for defaults, name in ((_CLIP_VISION, "vision_config"), (_CLIP_TEXT, "text_config"))
    )
    if text["intermediate_size"] != MLP_RATIO * text["hidden_size"]:
        raise ValueError(
            f"{where}: text_config.intermediate_size is {text['intermediate_size']}, only {MLP_RATIO} times the width"
            f" ({MLP_RATIO * text['hidden_size']}) is supported"
        )
    if text["layer_norm_eps"] != 1e-5:
        raise ValueError(f"{where}: text_config.layer_norm_eps is {text['layer_norm_eps']}, only 1e-05 is supported")
    config = SyCoCaConfig(
        image_encoder=_image_encoder(vision, f"{where}: vision_config", has_norm_pre=True),
        text_encoder=TextEncoderConfig(
            vocab_size=text["vocab_size"],
            context_length=text["max_position_embeddings"],
            width=text["hidden_size"],
            depth=text["num_hidden_layers"],
            num_heads=text["num_attention_heads"],
            pooling="eos",
            activation=_activation(text, f"{where}: text_config"),
        ),
        text_decoder=None,
        image_decoder=None,
        embed_dim=described.get("projection_dim", 512),
    )
    checkpoint = read_checkpoint(folder, CHECKPOINT_NAMES)
    model = filled_model(config, checkpoint.tensors, hf_clip_table(config), str(folder))
    return HfClip(model=model, dropped=checkpoint.dropped)


def _vit(folder: Path, described: Mapping[str, Any]) -> HfImageEncoder:
    where = str(folder / CONFIG_NAME)
    sizes = _VIT | dict(described)
    if not sizes["qkv_bias"]:
        raise ValueError(f"{where}: qkv_bias is false, which cannot be converted")
    config = _image_encoder(sizes, where, has_norm_pre=False)
    return _encoder_alone(folder, "ViT", config, hf_vit_table(config))


def _dino(folder: Path, described: Mapping[str, Any]) -> HfImageEncoder:
    where = str(folder / CONFIG_NAME)
    sizes = _DINO | dict(described)
    for name, supported in (("qkv_bias", True), ("use_swiglu_ffn", False)):
        if sizes[name] is not supported:
            raise ValueError(f"{where}: {name} is {str(sizes[name]).lower()}, which cannot be converted")
    sizes["intermediate_size"] = int(sizes["hidden_size"] * sizes["mlp_ratio"])
    config = _image_encoder(sizes, where, has_norm_pre=False)
    if described["model_type"] == "dinov2_with_registers":
        config = replace(config, num_registers=sizes["num_register_tokens"])
    return _encoder_alone(folder, "DINOv2", config, hf_dino_table(config))


def _siglip(folder: Path, described: Mapping[str, Any]) -> HfImageEncoder:
    """Read the image encoder of a SigLIP or SigLIP2; its text encoder is not causal, so it cannot caption."""
    where = str(folder / CONFIG_NAME)
    own = described.get("vision_config") if described["model_type"] == "siglip" else described
    sizes = _SIGLIP | dict(own or {})
    config = replace(_image_encoder(sizes, f"{where}: vision_config", has_norm_pre=False), pooling="mean")
    return _encoder_alone(folder, "SigLIP", config, hf_siglip_table(config))


def _encoder_alone(folder: Path, kind: EncoderKind, config: ImageEncoderConfig, table: Table) -> HfImageEncoder:
    checkpoint = read_checkpoint(folder, CHECKPOINT_NAMES)
    named = {_in_encoder(name): tensor for name, tensor in checkpoint.tensors.items()}
    tensors = {name: tensor for name, tensor in named.items() if not name.startswith(tuple(_DROPPED_OF_ENCODERS))}
    dropped = tuple(
        part for start, part in _DROPPED_OF_ENCODERS.items() if any(name.startswith(start) for name in named)
    )
    with torch.device("meta"):
        encoder = ImageEncoder(config, embed_dim=1)
    tensors = _without_layer_scale(_without_patch_bias(tensors))
    ours = to_ours(tensors, table, shapes_of(encoder.state_dict()), str(folder))
    return HfImageEncoder(kind=kind, config=config, tensors=ours, dropped=(*dropped, *checkpoint.dropped))


def _in_encoder(name: str) -> str:
    """Return the name that a tensor has in the encoder, without that of a model with a head."""
    first, _, rest = name.partition(".")
    return rest if first in _ENCODERS_IN_MODELS else name


def _without_layer_scale(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors with each layer scale multiplied into the layer before it, which is equivalent."""
    without = {name: tensor for name, tensor in tensors.items() if ".layer_scale" not in name}
    for name, scale in tensors.items():
        block, found, number = name.removesuffix(".lambda1").partition(".layer_scale")
        if found:
            layer = f"{block}.{_SCALED_LAYERS[number]}"
            for kind in ("weight", "bias"):
                own = without.get(f"{layer}.{kind}")
                if own is not None:
                    without[f"{layer}.{kind}"] = scale.reshape(-1, *(1,) * (own.dim() - 1)) * own
    return without


def _without_patch_bias(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors with the patch embedding's bias added to the position embeddings, which is equivalent."""
    without = dict(tensors)
    for bias_name, positions_name, num_extra in _PATCH_BIASES:
        if bias_name in tensors and positions_name in tensors:
            positions = tensors[positions_name]
            with_bias = positions[..., num_extra:, :] + without.pop(bias_name)
            without[positions_name] = torch.cat([positions[..., :num_extra, :], with_bias], dim=-2)
    return without


def _image_encoder(sizes: Mapping[str, Any], where: str, *, has_norm_pre: bool) -> ImageEncoderConfig:
    width, mlp_width = sizes["hidden_size"], sizes["intermediate_size"]
    return ImageEncoderConfig(
        image_size=sizes["image_size"],
        patch_size=sizes["patch_size"],
        width=width,
        depth=sizes["num_hidden_layers"],
        num_heads=sizes["num_attention_heads"],
        activation=_activation(sizes, where),
        mlp_width=None if mlp_width == MLP_RATIO * width else mlp_width,
        norm_eps=sizes["layer_norm_eps"],
        has_norm_pre=has_norm_pre,
    )


def _activation(sizes: Mapping[str, Any], where: str) -> Activation:
    name = sizes["hidden_act"]
    if name not in _HF_ACTIVATIONS:
        raise ValueError(f"{where}.hidden_act is {name!r}; {', '.join(_HF_ACTIVATIONS)} can be converted")
    return _HF_ACTIVATIONS[name]
