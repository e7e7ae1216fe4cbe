"""Reading of Hugging Face's CLIP and SigLIP as SyCoCa models, and of other models as image encoders."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor

from sycoca.model.config import LAYER_NORM_EPS, MLP_RATIO, SyCoCaConfig, TextEncoderConfig
from sycoca.model.sycoca import SyCoCa
from sycoca.weights.conversion.checkpoint_files import read_checkpoint, read_json
from sycoca.weights.conversion.config_fields import section, with_own_values
from sycoca.weights.conversion.hugging_face.image_encoders import IMAGE_ENCODERS, HfImageEncoder, read_image_encoder
from sycoca.weights.conversion.hugging_face.names import hf_clip_table
from sycoca.weights.conversion.hugging_face.siglip import has_text_encoder, read_siglip
from sycoca.weights.conversion.hugging_face.sizes import (
    CHECKPOINT_NAMES,
    CLIP_VISION,
    CONFIG_NAME,
    activation_of,
    image_encoder_config,
)
from sycoca.weights.conversion.hugging_face.whole_model import HfModel
from sycoca.weights.conversion.renaming import filled_model, to_theirs

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
"""Default sizes of CLIP's text encoder; Hugging Face saves only those that differ."""

_CLIP = {"projection_dim": 512}
"""The same of what both encoders share."""


def read_hugging_face(
    folder: Path,
    dtype: torch.dtype = torch.float32,
    *,
    tokenizer_path: Path | None = None,
    image_encoder_only: bool = False,
) -> HfModel | HfImageEncoder:
    """Read a folder that transformers saved: config.json beside model.safetensors or pytorch_model.bin.

    The tensors have the ``dtype``, in which biases and scales that ours do not have are folded into others.
    ``tokenizer_path``: the tokenizer.json of a SigLIP whose folder has none. ``image_encoder_only``: read the image
    encoder of a SigLIP alone. Raises ValueError for other types of models and for unsupported architectures.
    """
    folder = Path(folder)
    config_path = folder / CONFIG_NAME
    if not config_path.is_file():
        raise ValueError(
            f"{folder} has no {CONFIG_NAME}; give the folder of a CLIP, SigLIP, ViT, ViTMAE, DINOv2 or DINOv3 of"
            " Hugging Face"
        )
    described = read_json(config_path)
    match described.get("model_type"):
        case "clip":
            return _clip(folder, described, dtype)
        case "siglip":
            checkpoint = read_checkpoint(folder, CHECKPOINT_NAMES)
            if image_encoder_only or not has_text_encoder(checkpoint):
                return read_image_encoder(folder, described, dtype, checkpoint)
            return read_siglip(folder, described, dtype, checkpoint, tokenizer_path)
        case str() as kind if kind in IMAGE_ENCODERS:
            return read_image_encoder(folder, described, dtype)
        case kind:
            known = f"clip, {', '.join(IMAGE_ENCODERS)}"
            raise ValueError(f"{config_path} is of a model of type {kind!r}; these can be converted: {known}")


def hf_clip_tensors(model: SyCoCa) -> dict[str, Shaped[Tensor, "..."]]:
    """Return the tensors of a CLIP of ours under the names of CLIPModel."""
    return to_theirs(model.state_dict(), hf_clip_table(model.config))


def _clip(folder: Path, described: Mapping[str, Any], dtype: torch.dtype) -> HfModel:
    where = f"{folder / CONFIG_NAME}: "
    # Sections named *_dict, which older versions saved, override the others, as in transformers.
    vision, text = (
        with_own_values(
            defaults, section(described, name, where) | section(described, f"{name}_dict", where), f"{where}{name}."
        )
        for defaults, name in ((CLIP_VISION, "vision_config"), (_CLIP_TEXT, "text_config"))
    )
    if text["intermediate_size"] != MLP_RATIO * text["hidden_size"]:
        raise ValueError(
            f"{where}text_config.intermediate_size is {text['intermediate_size']}, only {MLP_RATIO} times the width"
            f" ({MLP_RATIO * text['hidden_size']}) is supported"
        )
    if text["layer_norm_eps"] != LAYER_NORM_EPS:
        raise ValueError(
            f"{where}text_config.layer_norm_eps is {text['layer_norm_eps']}, only {LAYER_NORM_EPS} is supported"
        )
    config = SyCoCaConfig(
        image_encoder=image_encoder_config(vision, f"{where}vision_config.", has_norm_pre=True),
        text_encoder=TextEncoderConfig(
            vocab_size=text["vocab_size"],
            context_length=text["max_position_embeddings"],
            width=text["hidden_size"],
            depth=text["num_hidden_layers"],
            num_heads=text["num_attention_heads"],
            pooling="eos",
            activation=activation_of(text, f"{where}text_config."),
        ),
        text_decoder=None,
        image_decoder=None,
        embed_dim=with_own_values(_CLIP, described, where)["projection_dim"],
    )
    checkpoint = read_checkpoint(folder, CHECKPOINT_NAMES)
    model = filled_model(config, checkpoint.tensors, hf_clip_table(config), str(folder))
    return HfModel(kind="CLIP", model=model.to(dtype), tokenizer=None, dropped=checkpoint.dropped)
