"""Architectures in config.json of Hugging Face's models."""

from collections.abc import Mapping
from typing import Any

from sycoca.model.config import MLP_RATIO, ImageEncoderConfig
from sycoca.model.forms import Activation

CONFIG_NAME = "config.json"
CHECKPOINT_NAMES = ("model.safetensors", "pytorch_model.bin")

_HF_ACTIVATIONS: Mapping[str, Activation] = {
    "gelu": "gelu",
    "quick_gelu": "quick_gelu",
    "gelu_pytorch_tanh": "gelu_tanh",
}

CLIP_VISION = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 224,
    "patch_size": 32,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
}
"""Default sizes of CLIP's image encoder; Hugging Face saves only those that differ."""


def image_encoder_config(
    sizes: Mapping[str, Any], where: str, *, has_norm_pre: bool, is_gated: bool = False
) -> ImageEncoderConfig:
    """Return the architecture that an image encoder's sizes describe; ValueError for others.

    ``where`` is what comes before the names of fields in messages.
    """
    width, mlp_width = sizes["hidden_size"], sizes["intermediate_size"]
    return ImageEncoderConfig(
        image_size=sizes["image_size"],
        patch_size=sizes["patch_size"],
        width=width,
        depth=sizes["num_hidden_layers"],
        num_heads=sizes["num_attention_heads"],
        activation="swiglu" if is_gated else activation_of(sizes, where),
        mlp_width=None if mlp_width == MLP_RATIO * width else mlp_width,
        norm_eps=sizes["layer_norm_eps"],
        has_norm_pre=has_norm_pre,
    )


def activation_of(sizes: Mapping[str, Any], where: str) -> Activation:
    """Return the activation of the MLPs; ValueError for one that we do not have."""
    name = sizes["hidden_act"]
    if name not in _HF_ACTIVATIONS:
        raise ValueError(f"{where}hidden_act is {name!r}; {', '.join(_HF_ACTIVATIONS)} can be converted")
    return _HF_ACTIVATIONS[name]
