"""Reading of Hugging Face's SigLIP and SigLIP2 as a whole model of ours, without decoders."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from sycoca.model.config import MLP_RATIO, SyCoCaConfig, TextEncoderConfig
from sycoca.model.sycoca import SyCoCa
from sycoca.preprocess.tokenizer import Tokenizer
from sycoca.weights.conversion.checkpoint_files import Checkpoint
from sycoca.weights.conversion.config_fields import section, with_own_values
from sycoca.weights.conversion.hugging_face.image_encoders import HfImageEncoder, read_image_encoder
from sycoca.weights.conversion.hugging_face.names import hf_siglip_text_table
from sycoca.weights.conversion.hugging_face.sizes import CONFIG_NAME, activation_of
from sycoca.weights.conversion.hugging_face.vocabulary import siglip_tokenizer
from sycoca.weights.conversion.hugging_face.whole_model import HfModel
from sycoca.weights.conversion.renaming import to_ours
from sycoca.weights.tensors.shapes import shapes_of

_TEXT = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "max_position_embeddings": 64,
    "vocab_size": 32000,
    "hidden_act": "gelu_pytorch_tanh",
    "layer_norm_eps": 1e-6,
    "projection_size": None,
}
"""Default sizes of SigLIP's text encoder; Hugging Face saves only those that differ. The joint space has its width."""

_TEXT_TENSORS = ("text_model.", "logit_")
"""Beginnings of the names of tensors beside the image encoder's."""


def has_text_encoder(checkpoint: Checkpoint) -> bool:
    """Return whether the checkpoint of a SigLIP has a text encoder; one for classification has none."""
    return any(name.startswith(_TEXT_TENSORS[0]) for name in checkpoint.tensors)


def read_siglip(
    folder: Path,
    described: Mapping[str, Any],
    dtype: torch.dtype,
    checkpoint: Checkpoint,
    tokenizer_path: Path | None,
) -> HfModel:
    """Read both encoders and the tokenizer of a SigLIP; ValueError for others.

    Its images are not projected, so our projection is the identity.
    """
    image = read_image_encoder(folder, described, dtype, checkpoint)
    tokenizer = siglip_tokenizer(folder, tokenizer_path)
    config = _config(described, f"{folder / CONFIG_NAME}: ", image, tokenizer)
    with torch.device("meta"):
        model = SyCoCa(config)
    text = {name: own.to(dtype) for name, own in checkpoint.tensors.items() if name.startswith(_TEXT_TENSORS)}
    tensors = {f"image_encoder.{name}": own for name, own in image.tensors.items()}
    tensors["image_encoder.projection.weight"] = torch.eye(config.embed_dim, dtype=dtype)
    table = hf_siglip_text_table(config.text_encoder)
    tensors |= to_ours(text, table, shapes_of(model.state_dict()), str(folder))
    model.load_state_dict(tensors, assign=True)
    return HfModel(kind="SigLIP", model=model.eval(), tokenizer=tokenizer, dropped=checkpoint.dropped)


def _config(described: Mapping[str, Any], where: str, image: HfImageEncoder, tokenizer: Tokenizer) -> SyCoCaConfig:
    sizes = with_own_values(_TEXT, section(described, "text_config", where), f"{where}text_config.")
    width, mlp_width = sizes["hidden_size"], sizes["intermediate_size"]
    embed_dim = width if sizes["projection_size"] is None else sizes["projection_size"]
    if not image.config.form.has_map_head:
        raise ValueError(f"{where}vision_config.vision_use_head is false, so images have no embedding")
    if image.config.output_width != embed_dim:
        raise ValueError(f"{where}images have {image.config.output_width} features, texts {embed_dim}")
    if tokenizer.vocab_size != sizes["vocab_size"]:
        raise ValueError(
            f"{where}text_config.vocab_size is {sizes['vocab_size']:,}, the tokenizer has {tokenizer.vocab_size:,} ids"
        )
    return SyCoCaConfig(
        image_encoder=image.config,
        text_encoder=TextEncoderConfig(
            vocab_size=sizes["vocab_size"],
            context_length=sizes["max_position_embeddings"],
            width=width,
            depth=sizes["num_hidden_layers"],
            num_heads=sizes["num_attention_heads"],
            pooling="last",
            activation=activation_of(sizes, f"{where}text_config."),
            mlp_width=None if mlp_width == MLP_RATIO * width else mlp_width,
            norm_eps=sizes["layer_norm_eps"],
            has_projection_bias=True,
            has_bos=False,
            pad_id=tokenizer.special.pad_id,
        ),
        text_decoder=None,
        image_decoder=None,
        has_logit_bias=True,
        embed_dim=embed_dim,
    )
