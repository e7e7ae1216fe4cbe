"""open_clip's JSON model configs: read, checked against tensor shapes, and written."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sycoca.model.config import LAYER_NORM_EPS, MLP_RATIO, ImageEncoderConfig, SyCoCaConfig
from sycoca.model.forms import Activation, ClsMask, PoolerKind, Pooling, TextPooling
from sycoca.weights.conversion.config_fields import section, with_own_values
from sycoca.weights.conversion.open_clip_shapes import HEAD_WIDTH, POOLER_HEADS, UnseenForms

_NEUTRAL: dict[str, Any] = {
    "mlp_ratio": MLP_RATIO,
    "ls_init_value": None,
    "pos_embed_type": "learnable",
    "pool_type": "tok",
    "no_causal_mask": False,
    "proj_bias": False,
    "proj_type": "linear",
    "act_kwargs": None,
    "norm_kwargs": None,
    "pad_id": 0,
    "hf_model_name": None,
    "timm_model_name": None,
    "text_arch": None,
}
"""Fields that change what a model computes, and their only supported value; pool_type of texts is argmax or eos."""

_KNOWN = {
    *("image_size", "layers", "width", "head_width", "patch_size", "no_ln_pre", "final_ln_after_pool"),
    *("attentional_pool", "attn_pooler_queries", "attn_pooler_heads", "output_tokens", "patch_dropout"),
    *("context_length", "vocab_size", "heads", "embed_cls", "correct_cls_mask", "eos_id"),
    *("hf_tokenizer_name", "tokenizer_mode", "tokenizer_kwargs", "dim_head", "n_queries"),
}
"""Fields that are read, checked against tensor shapes, or without effect at inference."""


_ACTIVATIONS: Mapping[Activation, dict[str, bool] | None] = {
    "gelu": {},
    "quick_gelu": {"quick_gelu": True},
    "gelu_tanh": None,
    "swiglu": None,
}
_CLS_MASKS: Mapping[ClsMask, dict[str, bool]] = {"correct": {"correct_cls_mask": True}, "shifted": {}}
_POOLERS: Mapping[PoolerKind, bool | str] = {"single": True, "parallel": "parallel", "cascade": "cascade"}
"""The fields or values of open_clip's JSON, by option; None for one that is not supported."""

_SECTIONS = ("vision_cfg", "text_cfg", "multimodal_cfg")

_VISION = {"width": 768, "head_width": HEAD_WIDTH, "attn_pooler_heads": POOLER_HEADS, "final_ln_after_pool": False}
_TEXT = {"heads": 8, "correct_cls_mask": False}
_DECODER = {"heads": 8}
_BOTH = {"quick_gelu": False}
"""open_clip's defaults of what tensor shapes do not show."""

_HAS_POOLING: Mapping[Pooling, bool] = {"cls": True, "mean": False, "max": False, "attention": True, "map": False}
_HAS_TEXT_POOLING: Mapping[TextPooling, bool] = {"cls": True, "mean": False, "eos": True, "last": False}
"""Whether open_clip supports it."""


def forms_from_json(described: Mapping[str, Any], forms: UnseenForms, where: str) -> UnseenForms:
    """Return the options in open_clip's JSON that tensor shapes do not show; ValueError where unsupported."""
    vision, text, decoder = (section(described, name, f"{where}: ") for name in _SECTIONS)
    if not vision or not text:
        raise ValueError(f"{where} is not a model config of open_clip: it lacks vision_cfg or text_cfg")
    for name, own in zip(_SECTIONS, (vision, text, decoder), strict=True):
        _check_section(f"{where}: {name}", own)
    kinds = {said: kind for kind, said in _POOLERS.items()}
    pool = vision.get("attentional_pool") or False
    if pool is not False and (not isinstance(pool, bool | str) or pool not in kinds):
        raise ValueError(
            f"{where}: vision_cfg.attentional_pool is {pool!r}; {', '.join(map(str, kinds))} can be converted"
        )
    image = with_own_values(_VISION, vision, f"{where}: vision_cfg.")
    words = with_own_values(_TEXT, text, f"{where}: text_cfg.")
    return replace(
        forms,
        activation="quick_gelu" if with_own_values(_BOTH, described, f"{where}: ")["quick_gelu"] else "gelu",
        cls_mask="correct" if words["correct_cls_mask"] else "shifted",
        pooler_kind="single" if pool is False else kinds[pool],
        image_heads=image["width"] // image["head_width"],
        text_heads=words["heads"],
        decoder_heads=with_own_values(_DECODER, decoder, f"{where}: multimodal_cfg.")["heads"] if decoder else None,
        pooler_heads=image["attn_pooler_heads"],
        norms_memory=not image["final_ln_after_pool"],
    )


def check_sizes(described: Mapping[str, Any], config: SyCoCaConfig, where: str) -> None:
    """Raise ValueError where a size in open_clip's JSON differs from that of the tensors."""
    image, text, decoder = config.image_encoder, config.text_encoder, config.text_decoder
    found: dict[str, dict[str, Any]] = {
        "vision_cfg": {
            "image_size": image.image_size,
            "layers": image.depth,
            "width": image.width,
            "patch_size": image.patch_size,
        },
        "text_cfg": {
            "context_length": text.context_length,
            "vocab_size": text.vocab_size,
            "width": text.width,
            "layers": text.depth,
        },
    }
    if image.form.has_pooler:
        found["vision_cfg"]["attn_pooler_queries"] = image.pooler.num_queries
    if decoder is not None:
        found["multimodal_cfg"] = {"width": text.width, "layers": decoder.depth}
    sections = {name: section(described, name, f"{where}: ") for name in _SECTIONS}
    if bool(sections["multimodal_cfg"]) != (decoder is not None):
        raise ValueError(f"{where} {'has' if decoder is None else 'lacks'} multimodal_cfg, unlike the checkpoint")
    own = {name: with_own_values(sizes, sections[name], f"{where}: {name}.") for name, sizes in found.items()}
    ratio = with_own_values({"mlp_ratio": float(MLP_RATIO)}, sections["vision_cfg"], f"{where}: vision_cfg.")
    mlp_width = int(own["vision_cfg"]["width"] * ratio["mlp_ratio"])
    pairs = [
        ("embed_dim", described.get("embed_dim"), config.embed_dim),
        ("vision_cfg.width times mlp_ratio", mlp_width, image.mlp_features),
    ]
    pairs += [
        (f"{part}.{name}", own[part][name], size) for part, sizes in found.items() for name, size in sizes.items()
    ]
    for name, said, size in pairs:
        if said != size:
            raise ValueError(f"{where} says {name} {said}, the checkpoint has {size}; one of them is another model's")


def open_clip_json(config: SyCoCaConfig) -> dict[str, Any]:
    """Return open_clip's JSON config of a model, in the format of its ``model_configs``.

    Raises ValueError for an architecture that open_clip does not support.
    """
    _check_supported(config)
    text, decoder = config.text_encoder, config.text_decoder
    sizes = {"context_length": text.context_length, "vocab_size": text.vocab_size, "width": text.width}
    text_cfg = {**sizes, "heads": text.num_heads, "layers": text.depth}
    described: dict[str, Any] = {
        "embed_dim": config.embed_dim,
        "vision_cfg": _vision_cfg(config.image_encoder, has_decoder=decoder is not None),
        "text_cfg": text_cfg,
    }
    described |= _ACTIVATIONS[text.activation] or {}
    if text.has_cls_token:
        text_cfg |= {"embed_cls": True, "output_tokens": True, **_CLS_MASKS[text.cls_mask]}
        described["custom_text"] = True
    if decoder is not None:
        described["multimodal_cfg"] = {**sizes, "heads": decoder.num_heads, "layers": decoder.depth}
    return described


def _vision_cfg(image: ImageEncoderConfig, *, has_decoder: bool) -> dict[str, Any]:
    described: dict[str, Any] = {
        "image_size": image.image_size,
        "layers": image.depth,
        "width": image.width,
        "head_width": image.width // image.num_heads,
        "patch_size": image.patch_size,
        "output_tokens": has_decoder,
    }
    if image.mlp_features != MLP_RATIO * image.width:
        # Rounded up as in open_clip's own configs, since it truncates the product to an integer.
        described["mlp_ratio"] = math.ceil(1e4 * image.mlp_features / image.width) / 1e4
    if not image.has_norm_pre:
        described["no_ln_pre"] = True
    if image.form.has_pooler:
        described["attentional_pool"] = _POOLERS[image.pooler.kind]
        described["attn_pooler_queries"] = image.pooler.num_queries
        described["attn_pooler_heads"] = image.pooler.num_heads
    elif has_decoder and not image.norms_memory:
        described["final_ln_after_pool"] = True
    return described


def _check_supported(config: SyCoCaConfig) -> None:
    image, text = config.image_encoder, config.text_encoder
    faults = {
        f"image pooling {image.pooling}": not _HAS_POOLING[image.pooling],
        f"text pooling {text.pooling}": not _HAS_TEXT_POOLING[text.pooling],
        f"a norm's epsilon of {image.norm_eps}": image.norm_eps != LAYER_NORM_EPS,
        f"a norm's epsilon of {text.norm_eps} in the text encoder": text.norm_eps != LAYER_NORM_EPS,
        "a text encoder with other MLPs than 4 times its width": text.mlp_width not in (None, MLP_RATIO * text.width),
        "a text projection with a bias": text.has_projection_bias,
        f"activation {image.activation}": _ACTIVATIONS[image.activation] is None,
        "register tokens": image.num_registers > 0,
        f"{image.position_embedding} position embeddings": not image.has_learned_positions,
        "a logit bias": config.has_logit_bias,
        "different activations in the two encoders": image.activation != text.activation,
        "a text decoder without [CLS] in the text encoder": config.text_decoder is not None and not text.has_cls_token,
        f"a text decoder of width {text.width} that sees an image of width {image.output_width}": (
            config.text_decoder is not None and text.width != image.output_width
        ),
        f"a pooler of width {image.pooler.width} with a joint space of {config.embed_dim}": (
            image.form.has_pooler and image.pooler.width != config.embed_dim
        ),
    }
    for fault, is_there in faults.items():
        if is_there:
            raise ValueError(f"open_clip has no such model: {fault}")


def _check_section(where: str, section: Mapping[str, Any]) -> None:
    for name, value in section.items():
        if name in _KNOWN or (name == "mlp_ratio" and where.endswith("vision_cfg")):
            continue
        if name == "pool_type" and where.endswith("text_cfg") and value in ("argmax", "eos"):
            continue
        if name not in _NEUTRAL and value in (None, False):
            continue
        if name not in _NEUTRAL or value != _NEUTRAL[name]:
            raise ValueError(f"{where}.{name} is {value!r}, which cannot be converted")
