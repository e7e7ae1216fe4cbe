"""open_clip's models with random weights, and their outputs. Needs open_clip."""

import copy
from collections.abc import Sequence
from typing import Any

import importable_torchvision  # noqa: F401 (first)
import open_clip
import torch
from open_clip.coca_model import CoCa
from open_clip.model import CLIP
from open_clip.transformer import AttentionalPooler
from randomized import randomized
from torch import Tensor, nn


def open_clip_peer(described: dict[str, Any], seed: int) -> nn.Module:
    """Return the model of a JSON config, with random values in every tensor.

    The two poolers of coca2 and its correct mask came after 3.3.0: they are built here from open_clip's layers.
    """
    described = copy.deepcopy(described)
    described.pop("custom_text", None)
    pool = described["vision_cfg"].get("attentional_pool")
    is_coca2 = isinstance(pool, str)
    is_mask_correct = described["text_cfg"].pop("correct_cls_mask", False)
    if is_coca2:
        described["vision_cfg"]["attentional_pool"] = True
    model = CoCa(**described) if "multimodal_cfg" in described else CLIP(**described)
    if is_coca2:
        _with_two_poolers(model.visual, pool)
    if is_mask_correct:
        model.text.correct_cls_mask = True
    return randomized(model, seed)


def model_json(name: str) -> dict[str, Any]:
    """Return the description of one of open_clip's own models."""
    described = open_clip.get_model_config(name)
    assert described is not None, name
    return described


@torch.no_grad()
def open_clip_outputs(peer: nn.Module, images: Tensor, tokens: Tensor, lengths: Sequence[int]) -> dict[str, Tensor]:
    """Return what `comparison.our_outputs` returns."""
    outputs = {
        "image_embeds": peer.encode_image(images, normalize=True),
        "text_embeds": peer.encode_text(tokens, normalize=True),
    }
    if isinstance(peer, CoCa):
        logits = peer(images, tokens, output_labels=False)["logits"]
        outputs["logits"] = logits[torch.arange(tokens.shape[1]) < torch.tensor(lengths)[:, None]]
    return outputs


def _with_two_poolers(visual: Any, kind: str) -> None:
    image_width, width = visual.conv1.out_channels, visual.attn_pool.query.shape[1]
    heads = visual.attn_pool.attn.num_heads
    visual.attn_pool_contrastive = AttentionalPooler(
        width, width if kind == "cascade" else image_width, n_head=heads, n_queries=1
    )
    visual.ln_post, visual.proj = type(visual.ln_post)(image_width), None

    def pool(x: Tensor) -> tuple[Tensor, Tensor]:
        x = visual.ln_post(x)
        tokens = visual.attn_pool(x)
        return visual.attn_pool_contrastive(tokens if kind == "cascade" else x)[:, 0], tokens

    visual._pool = pool
