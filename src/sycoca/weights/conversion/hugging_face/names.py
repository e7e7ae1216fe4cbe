"""Hugging Face's tensor names of CLIP and of the image encoders SigLIP, ViT, ViTMAE, DINOv2 and DINOv3."""

from collections.abc import Mapping

from sycoca.model.config import ImageEncoderConfig, SyCoCaConfig, TextEncoderConfig
from sycoca.weights.conversion.renaming import (
    SCALAR,
    Change,
    Correspondence,
    convolution,
    same,
    weight_and_bias,
)

_ONE_ROW = Change(lambda tensor: tensor.flatten(), lambda tensor: tensor.reshape(1, 1, -1))
_ONE_SET = Change(lambda tensor: tensor.squeeze(0), lambda tensor: tensor.unsqueeze(0))


_VIT_LAYERS = {
    "norm_attention": "layernorm_before",
    "norm_mlp": "layernorm_after",
    "mlp.expand": "intermediate.dense",
    "mlp.contract": "output.dense",
}
_DINO2_NORMS = {"norm_attention": "norm1", "norm_mlp": "norm2"}
"""Their names of a block's layers, by ours; those of attention are the same in both."""

_DINO2_MLPS: Mapping[bool, Mapping[str, str]] = {
    False: {"mlp.expand": "mlp.fc1", "mlp.contract": "mlp.fc2"},
    True: {"mlp.expand": "mlp.weights_in", "mlp.contract": "mlp.weights_out"},
}
"""The same of an MLP, by whether it is gated."""


def hf_clip_table(config: SyCoCaConfig) -> list[Correspondence]:
    """Return all tensors of a CLIP of ours under the names of CLIPModel."""
    text = "text_model"
    rows = [
        same("log_logit_scale", "logit_scale", SCALAR),
        *hf_clip_image_table(config.image_encoder, "image_encoder.", "vision_model."),
        same("image_encoder.projection.weight", "visual_projection.weight"),
        same("text_encoder.token_embedding.weight", f"{text}.embeddings.token_embedding.weight"),
        same("text_encoder.positions", f"{text}.embeddings.position_embedding.weight"),
        *weight_and_bias("text_encoder.norm_final", f"{text}.final_layer_norm"),
        same("text_encoder.projection.weight", "text_projection.weight"),
    ]
    for i in range(config.text_encoder.depth):
        rows += _clip_block(f"text_encoder.blocks.{i}", f"{text}.encoder.layers.{i}")
    return rows


def hf_clip_image_table(config: ImageEncoderConfig, ours: str = "", theirs: str = "") -> list[Correspondence]:
    """Return all tensors of an image encoder without projection, under the names of CLIPVisionTransformer.

    ``ours`` and ``theirs`` are the beginnings of the names.
    """
    rows = [
        same(f"{ours}cls_token", f"{theirs}embeddings.class_embedding"),
        same(f"{ours}positions", f"{theirs}embeddings.position_embedding.weight"),
        same(
            f"{ours}patch_embedding.weight",
            f"{theirs}embeddings.patch_embedding.weight",
            convolution(config.patch_size),
        ),
        *weight_and_bias(f"{ours}norm_pre", f"{theirs}pre_layrnorm"),
        *weight_and_bias(f"{ours}norm_post", f"{theirs}post_layernorm"),
    ]
    for i in range(config.depth):
        rows += _clip_block(f"{ours}blocks.{i}", f"{theirs}encoder.layers.{i}")
    return rows


def hf_vit_table(config: ImageEncoderConfig) -> list[Correspondence]:
    """Return all tensors of an image encoder without projection, under the names of ViTModel and ViTMAEModel.

    Their patch embedding has a bias, which has to be added to the position embeddings before.
    """
    return _vit_table(config, _VIT_LAYERS)


def hf_dino2_table(config: ImageEncoderConfig) -> list[Correspondence]:
    """Return the same under the names of Dinov2Model.

    Its layer scale has to be folded into the layers before it.
    """
    return [*_vit_table(config, {**_DINO2_NORMS, **_DINO2_MLPS[config.is_gated]}), *_registers(config)]


def hf_dino3_table(config: ImageEncoderConfig) -> list[Correspondence]:
    """Return the same under the names of DINOv3ViTModel, all of whose linear layers must have a bias.

    Its layer scale has to be folded into the layers before it.
    """
    rows = [
        same("cls_token", "embeddings.cls_token", _ONE_ROW),
        same("patch_embedding.weight", "embeddings.patch_embeddings.weight", convolution(config.patch_size)),
        same("patch_embedding.bias", "embeddings.patch_embeddings.bias"),
        *_registers(config),
        *weight_and_bias("norm_post", "norm"),
    ]
    expand = ("gate_proj", "up_proj") if config.is_gated else ("up_proj",)
    for i in range(config.depth):
        ours, theirs = f"blocks.{i}", f"layer.{i}"
        rows += _joined(f"{ours}.attention.query_key_value", [f"{theirs}.attention.{one}_proj" for one in "qkv"])
        rows += weight_and_bias(f"{ours}.attention.output", f"{theirs}.attention.o_proj")
        rows += weight_and_bias(f"{ours}.norm_attention", f"{theirs}.norm1")
        rows += weight_and_bias(f"{ours}.norm_mlp", f"{theirs}.norm2")
        rows += _joined(f"{ours}.mlp.expand", [f"{theirs}.mlp.{name}" for name in expand])
        rows += weight_and_bias(f"{ours}.mlp.contract", f"{theirs}.mlp.down_proj")
    return rows


def hf_siglip_table(config: ImageEncoderConfig) -> list[Correspondence]:
    """Return all tensors of an image encoder without projection, under the names of SiglipVisionTransformer.

    The patch embedding's bias has to be added to the position embeddings before, and the head's probe projected. Blocks
    have the names of CLIP's.
    """
    rows = [
        same("positions", "embeddings.position_embedding.weight"),
        same("patch_embedding.weight", "embeddings.patch_embedding.weight", convolution(config.patch_size)),
        *weight_and_bias("norm_post", "post_layernorm"),
    ]
    for i in range(config.depth):
        rows += _clip_block(f"blocks.{i}", f"encoder.layers.{i}")
    return [*rows, *_map_head()] if config.form.has_map_head else rows


def hf_siglip_text_table(config: TextEncoderConfig) -> list[Correspondence]:
    """Return all tensors of a text encoder, and temperature and bias of the loss, under the names of SiglipModel."""
    ours, theirs = "text_encoder", "text_model"
    rows = [
        same("log_logit_scale", "logit_scale", SCALAR),
        same("logit_bias", "logit_bias", SCALAR),
        same(f"{ours}.token_embedding.weight", f"{theirs}.embeddings.token_embedding.weight"),
        same(f"{ours}.positions", f"{theirs}.embeddings.position_embedding.weight"),
        *weight_and_bias(f"{ours}.norm_final", f"{theirs}.final_layer_norm"),
        *weight_and_bias(f"{ours}.projection", f"{theirs}.head"),
    ]
    for i in range(config.depth):
        rows += _clip_block(f"{ours}.blocks.{i}", f"{theirs}.encoder.layers.{i}")
    return rows


def _map_head() -> list[Correspondence]:
    return [
        same("map_head.query", "head.query"),
        *weight_and_bias("map_head.key_value", "head.key_value"),
        *weight_and_bias("map_head.output", "head.attention.out_proj"),
        *weight_and_bias("map_head.norm_mlp", "head.layernorm"),
        *weight_and_bias("map_head.mlp.expand", "head.mlp.fc1"),
        *weight_and_bias("map_head.mlp.contract", "head.mlp.fc2"),
    ]


def _clip_block(ours: str, theirs: str) -> list[Correspondence]:
    return [
        *_joined(f"{ours}.attention.query_key_value", [f"{theirs}.self_attn.{letter}_proj" for letter in "qkv"]),
        *weight_and_bias(f"{ours}.attention.output", f"{theirs}.self_attn.out_proj"),
        *weight_and_bias(f"{ours}.norm_attention", f"{theirs}.layer_norm1"),
        *weight_and_bias(f"{ours}.norm_mlp", f"{theirs}.layer_norm2"),
        *weight_and_bias(f"{ours}.mlp.expand", f"{theirs}.mlp.fc1"),
        *weight_and_bias(f"{ours}.mlp.contract", f"{theirs}.mlp.fc2"),
    ]


def _vit_table(config: ImageEncoderConfig, layers: Mapping[str, str]) -> list[Correspondence]:
    rows = [
        same("cls_token", "embeddings.cls_token", _ONE_ROW),
        same("positions", "embeddings.position_embeddings", _ONE_SET),
        same("patch_embedding.weight", "embeddings.patch_embeddings.projection.weight", convolution(config.patch_size)),
        *weight_and_bias("norm_post", "layernorm"),
    ]
    for i in range(config.depth):
        ours, theirs = f"blocks.{i}", f"encoder.layer.{i}"
        rows += _joined(
            f"{ours}.attention.query_key_value",
            [f"{theirs}.attention.attention.{name}" for name in ("query", "key", "value")],
        )
        rows += weight_and_bias(f"{ours}.attention.output", f"{theirs}.attention.output.dense")
        for name, their_name in layers.items():
            rows += weight_and_bias(f"{ours}.{name}", f"{theirs}.{their_name}")
    return rows


def _registers(config: ImageEncoderConfig) -> list[Correspondence]:
    return [same("registers", "embeddings.register_tokens", _ONE_SET)] if config.num_registers else []


def _joined(ours: str, theirs: list[str]) -> list[Correspondence]:
    """Return the correspondences of weight and bias of a layer that is several of theirs, one below the other."""
    return [
        Correspondence((f"{ours}.{kind}",), tuple(f"{name}.{kind}" for name in theirs)) for kind in ("weight", "bias")
    ]
