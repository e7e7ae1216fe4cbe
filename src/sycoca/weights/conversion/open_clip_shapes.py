"""Inference of the architecture of open_clip's models from the shapes of their tensors."""

import math
import re
from dataclasses import dataclass, replace

from sycoca.model.config import MLP_RATIO, ImageEncoderConfig, SyCoCaConfig, TextEncoderConfig
from sycoca.model.decoder_configs import TextDecoderConfig
from sycoca.model.forms import POOLERS, Activation, ClsMask, ClsPosition, PoolerKind
from sycoca.model.pooler_config import AttentionPoolerConfig
from sycoca.weights.tensors.shapes import Shapes

HEAD_WIDTH = 64
"""Width of an attention head, which shapes do not show; in all of open_clip's models but those of `_HEAD_WIDTHS`."""

POOLER_HEADS = 8
"""Heads of an attentional pooler, in all of open_clip's models."""

_HEAD_WIDTHS = {1280: 80, 1408: 88, 1664: 104, 1792: 112}
"""Width of an attention head in the image encoders of ViT-H, g, bigG and e, by model width."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UnseenForms:
    """Options that tensor shapes do not show; None: as in open_clip's models of these shapes."""

    activation: Activation = "gelu"
    """gelu, or quick_gelu in OpenAI's own models and those named -quickgelu."""

    cls_mask: ClsMask | None = None
    """None: shifted, but correct with the two poolers of coca2."""

    cls_position: ClsPosition = "last"
    """See `TextEncoderConfig`."""

    pooler_kind: PoolerKind | None = None
    """None: inferred from the shapes, which show it unless the pooler is as wide as the image encoder."""

    image_heads: int | None = None
    """None: heads of width 64, or as in open_clip's larger models."""

    text_heads: int | None = None
    """None: heads of width 64."""

    decoder_heads: int | None = None
    """None: heads of width 64."""

    pooler_heads: int = POOLER_HEADS
    """Eight in all released models."""

    norms_memory: bool = True
    """Whether the text decoder's memory is normalized; only without pooler."""


def text_prefix(shapes: Shapes) -> str:
    """Return the prefix of the text encoder's tensor names; empty in plain CLIP."""
    return "text." if "text.token_embedding.weight" in shapes else ""


def config_from_shapes(shapes: Shapes, forms: UnseenForms, where: str) -> SyCoCaConfig:
    """Return the config of the model that has tensors of these names and shapes.

    Raises ValueError, which begins with ``where``, for a model whose towers are not open_clip's own transformers.
    """
    _check_towers(shapes, where)
    image_encoder = _image_encoder(shapes, forms, where)
    return SyCoCaConfig(
        image_encoder=image_encoder,
        text_encoder=_text_encoder(shapes, forms, where, has_two_poolers=not image_encoder.is_projected),
        text_decoder=_text_decoder(shapes, forms, where),
        image_decoder=None,
        embed_dim=shapes[f"{text_prefix(shapes)}text_projection"][1],
    )


def _image_encoder(shapes: Shapes, forms: UnseenForms, where: str) -> ImageEncoderConfig:
    width, _, patch_size, _ = shapes["visual.conv1.weight"]
    num_patches = shapes["visual.positional_embedding"][0] - 1
    side = math.isqrt(num_patches)
    if side**2 != num_patches:
        raise ValueError(f"{where} has position embeddings of {num_patches} patches, which is not a square number")
    mlp_width = shapes.get("visual.transformer.resblocks.0.mlp.c_fc.weight", (MLP_RATIO * width,))[0]
    config = ImageEncoderConfig(
        image_size=side * patch_size,
        patch_size=patch_size,
        width=width,
        depth=_depth(shapes, "visual.transformer.resblocks"),
        num_heads=forms.image_heads or _heads(width, _HEAD_WIDTHS.get(width, HEAD_WIDTH), where),
        activation=forms.activation,
        mlp_width=None if mlp_width == MLP_RATIO * width else mlp_width,
        has_norm_pre="visual.ln_pre.weight" in shapes,
    )
    if "visual.attn_pool.query" not in shapes:
        return replace(config, norms_memory=forms.norms_memory and "text_decoder.text_projection" in shapes)
    num_queries, pooler_width = shapes["visual.attn_pool.query"]
    pooler = AttentionPoolerConfig(
        kind=_pooler_kind(shapes, forms, where),
        num_queries=num_queries,
        width=pooler_width,
        num_heads=forms.pooler_heads,
    )
    return replace(config, pooling="attention", pooler=pooler)


def _pooler_kind(shapes: Shapes, forms: UnseenForms, where: str) -> PoolerKind:
    if "visual.attn_pool_contrastive.query" not in shapes:
        return "single"
    read_width, pooler_width = (
        shapes["visual.attn_pool_contrastive.ln_k.weight"][0],
        shapes["visual.attn_pool.query"][1],
    )
    if read_width != pooler_width:
        return "parallel"
    if shapes["visual.attn_pool.ln_k.weight"][0] != pooler_width:
        return "cascade"
    if forms.pooler_kind is None or not POOLERS[forms.pooler_kind].has_contrastive_pooler:
        raise ValueError(
            f"{where} has two poolers as wide as its image encoder, which may be parallel or cascade: give the model's"
            " JSON config with --config"
        )
    return forms.pooler_kind


def _text_encoder(shapes: Shapes, forms: UnseenForms, where: str, *, has_two_poolers: bool) -> TextEncoderConfig:
    prefix = text_prefix(shapes)
    vocab_size, width = shapes[f"{prefix}token_embedding.weight"]
    has_cls = f"{prefix}cls_emb" in shapes
    config = TextEncoderConfig(
        vocab_size=vocab_size,
        context_length=shapes[f"{prefix}positional_embedding"][0] - has_cls,
        width=width,
        depth=_depth(shapes, f"{prefix}transformer.resblocks"),
        num_heads=forms.text_heads or _heads(width, HEAD_WIDTH, where),
        pooling="cls" if has_cls else "eos",
        activation=forms.activation,
    )
    if not has_cls:
        return config
    cls_mask: ClsMask = forms.cls_mask or ("correct" if has_two_poolers else "shifted")
    return replace(config, cls_mask=cls_mask, cls_position=forms.cls_position)


def _text_decoder(shapes: Shapes, forms: UnseenForms, where: str) -> TextDecoderConfig | None:
    if "text_decoder.text_projection" not in shapes:
        return None
    width = shapes["text_decoder.text_projection"][0]
    return TextDecoderConfig(
        depth=_depth(shapes, "text_decoder.resblocks"),
        num_heads=forms.decoder_heads or _heads(width, HEAD_WIDTH, where),
    )


def _heads(width: int, head_width: int, where: str) -> int:
    if width % head_width:
        raise ValueError(
            f"{where} has a width of {width}, which is not a multiple of the head width {head_width}: give the model's"
            " JSON config with --config"
        )
    return width // head_width


def _depth(shapes: Shapes, prefix: str) -> int:
    pattern = re.compile(rf"{re.escape(prefix)}\.(\d+)\.")
    return 1 + max((int(match[1]) for name in shapes if (match := pattern.match(name))), default=-1)


_OTHER_TOWERS = {
    "visual.trunk.": "an image tower of timm",
    "visual.layer1.": "a ResNet",
    "text.transformer.embeddings.": "a text tower of Hugging Face (RoBERTa and the like)",
    "text.transformer.encoder.": "a text tower of Hugging Face (T5 and the like)",
    "vision_model.": "names of Hugging Face; use sycoca convert from-hf",
}


def _check_towers(shapes: Shapes, where: str) -> None:
    for prefix, tower in _OTHER_TOWERS.items():
        if any(name.startswith(prefix) for name in shapes):
            raise ValueError(f"{where} has {tower}; only open_clip's own transformers can be converted")
    for name in ("visual.conv1.weight", "visual.positional_embedding", "logit_scale"):
        if name not in shapes:
            raise ValueError(f"{where} is not a CLIP or CoCa of open_clip: it has no tensor {name}")
    if not {"text.token_embedding.weight", "token_embedding.weight"} & shapes.keys():
        raise ValueError(f"{where} is not a CLIP or CoCa of open_clip: it has no tensor token_embedding.weight")
