"""open_clip's tensor names of CoCa and CLIP."""

from sycoca.model.config import SyCoCaConfig
from sycoca.model.pooler_config import AttentionPoolerConfig
from sycoca.weights.conversion.renaming import (
    SCALAR,
    TRANSPOSED,
    Correspondence,
    convolution,
    same,
    weight_and_bias,
)


def open_clip_table(config: SyCoCaConfig, text_prefix: str) -> list[Correspondence]:
    """Return all tensors of a SyCoCa model under open_clip's names, except those of parts that it does not have.

    ``text_prefix`` is "text.", or "" in plain CLIP, whose text encoder's tensors have no prefix.
    """
    return [
        same("log_logit_scale", "logit_scale", SCALAR),
        *_image_encoder(config),
        *_text_encoder(config, text_prefix),
        *_text_decoder(config),
    ]


def _image_encoder(config: SyCoCaConfig) -> list[Correspondence]:
    encoder = config.image_encoder
    rows = [
        same("image_encoder.cls_token", "visual.class_embedding"),
        same("image_encoder.positions", "visual.positional_embedding"),
        same("image_encoder.patch_embedding.weight", "visual.conv1.weight", convolution(encoder.patch_size)),
    ]
    if encoder.has_norm_pre:
        rows += weight_and_bias("image_encoder.norm_pre", "visual.ln_pre")
    for i in range(encoder.depth):
        rows += _self_block(f"image_encoder.blocks.{i}", f"visual.transformer.resblocks.{i}")
    if encoder.form.has_pooler:
        rows += _poolers(encoder.pooler, encoder.width)
    else:
        rows += weight_and_bias("image_encoder.norm_post", "visual.ln_post")
    if encoder.is_projected:
        rows.append(same("image_encoder.projection.weight", "visual.proj", TRANSPOSED))
    return rows


def _poolers(config: AttentionPoolerConfig, image_width: int) -> list[Correspondence]:
    ours = "image_encoder.pooling"
    rows = weight_and_bias(f"{ours}.norm", "visual.ln_post")
    rows += _pooler(f"{ours}.memory_pooler", "visual.attn_pool", is_fused=config.width == image_width)
    if config.form.has_contrastive_pooler:
        read_width = config.width if config.form.contrastive_reads_memory else image_width
        rows += _pooler(
            f"{ours}.contrastive_pooler", "visual.attn_pool_contrastive", is_fused=config.width == read_width
        )
    return rows


def _pooler(ours: str, theirs: str, *, is_fused: bool) -> list[Correspondence]:
    return [
        same(f"{ours}.query", f"{theirs}.query"),
        *weight_and_bias(f"{ours}.norm_query", f"{theirs}.ln_q"),
        *weight_and_bias(f"{ours}.norm_memory", f"{theirs}.ln_k"),
        *_cross_attention(f"{ours}.attention", f"{theirs}.attn", is_fused=is_fused),
    ]


def _text_encoder(config: SyCoCaConfig, prefix: str) -> list[Correspondence]:
    rows = [
        same("text_encoder.token_embedding.weight", f"{prefix}token_embedding.weight"),
        same("text_encoder.positions", f"{prefix}positional_embedding"),
        same("text_encoder.projection.weight", f"{prefix}text_projection", TRANSPOSED),
        *weight_and_bias("text_encoder.norm_final", f"{prefix}ln_final"),
    ]
    if config.text_encoder.has_cls_token:
        rows.append(same("text_encoder.cls_token", f"{prefix}cls_emb"))
    for i in range(config.text_encoder.depth):
        rows += _self_block(f"text_encoder.blocks.{i}", f"{prefix}transformer.resblocks.{i}")
    return rows


def _text_decoder(config: SyCoCaConfig) -> list[Correspondence]:
    if config.text_decoder is None:
        return []
    rows = [
        same("text_decoder.vocabulary.weight", "text_decoder.text_projection", TRANSPOSED),
        *weight_and_bias("text_decoder.norm_final", "text_decoder.ln_final"),
    ]
    for i in range(config.text_decoder.depth):
        rows += _self_block(f"text_decoder.self_blocks.{i}", f"text_decoder.resblocks.{i}")
        rows += _cross_block(f"text_decoder.cross_blocks.{i}", f"text_decoder.cross_attn.{i}")
    return rows


def _self_block(ours: str, theirs: str) -> list[Correspondence]:
    return [
        same(f"{ours}.attention.query_key_value.weight", f"{theirs}.attn.in_proj_weight"),
        same(f"{ours}.attention.query_key_value.bias", f"{theirs}.attn.in_proj_bias"),
        *weight_and_bias(f"{ours}.attention.output", f"{theirs}.attn.out_proj"),
        *_norms_and_mlp(ours, theirs),
    ]


def _cross_block(ours: str, theirs: str) -> list[Correspondence]:
    return [
        *weight_and_bias(f"{ours}.norm_memory", f"{theirs}.ln_1_kv"),
        *_cross_attention(f"{ours}.attention", f"{theirs}.attn"),
        *_norms_and_mlp(ours, theirs),
    ]


def _cross_attention(ours: str, theirs: str, *, is_fused: bool = True) -> list[Correspondence]:
    queries, keys_values = f"{ours}.query", f"{ours}.key_value"
    weights = [Correspondence((f"{queries}.weight", f"{keys_values}.weight"), (f"{theirs}.in_proj_weight",))]
    if not is_fused:
        # PyTorch stores separate projection weights where keys and queries differ in width, but one bias.
        weights = [
            same(f"{queries}.weight", f"{theirs}.q_proj_weight"),
            Correspondence((f"{keys_values}.weight",), (f"{theirs}.k_proj_weight", f"{theirs}.v_proj_weight")),
        ]
    return [
        *weights,
        Correspondence((f"{queries}.bias", f"{keys_values}.bias"), (f"{theirs}.in_proj_bias",)),
        *weight_and_bias(f"{ours}.output", f"{theirs}.out_proj"),
    ]


def _norms_and_mlp(ours: str, theirs: str) -> list[Correspondence]:
    return [
        *weight_and_bias(f"{ours}.norm_attention", f"{theirs}.ln_1"),
        *weight_and_bias(f"{ours}.norm_mlp", f"{theirs}.ln_2"),
        *weight_and_bias(f"{ours}.mlp.expand", f"{theirs}.mlp.c_fc"),
        *weight_and_bias(f"{ours}.mlp.contract", f"{theirs}.mlp.c_proj"),
    ]
