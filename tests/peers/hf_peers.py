"""transformers' CLIP, SigLIP, ViT, ViTMAE and DINOv2 with random weights, and their outputs. Needs transformers."""

import importable_torchvision  # noqa: F401, I001 (first)
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    CLIPConfig,
    CLIPModel,
    Dinov2Config,
    Dinov2ForImageClassification,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    SiglipConfig,
    SiglipModel,
    ViTConfig,
    ViTForImageClassification,
    ViTMAEConfig,
    ViTMAEForPreTraining,
)

from randomized import randomized


def clip_peer(config: CLIPConfig, seed: int) -> CLIPModel:
    return randomized(CLIPModel(config), seed)  # type: ignore[return-value]


def vit_peer(config: ViTConfig, seed: int) -> ViTForImageClassification:
    return randomized(ViTForImageClassification(config), seed)  # type: ignore[return-value]


def mae_peer(config: ViTMAEConfig, seed: int) -> ViTMAEForPreTraining:
    return randomized(ViTMAEForPreTraining(config), seed)  # type: ignore[return-value]


def dino_peer(config: Dinov2Config, seed: int) -> Dinov2ForImageClassification:
    return randomized(Dinov2ForImageClassification(config), seed)  # type: ignore[return-value]


def registers_peer(config: Dinov2WithRegistersConfig, seed: int) -> Dinov2WithRegistersModel:
    return randomized(Dinov2WithRegistersModel(config), seed)  # type: ignore[return-value]


def siglip_peer(config: SiglipConfig, seed: int) -> SiglipModel:
    return randomized(SiglipModel(config), seed)  # type: ignore[return-value]


@torch.no_grad()
def clip_outputs(peer: CLIPModel, images: Tensor, tokens: Tensor, lengths: list[int]) -> dict[str, Tensor]:
    """Return normalized embeddings; padding is masked, as by transformers' own tokenizer."""
    mask = (torch.arange(tokens.shape[1]) < torch.tensor(lengths)[:, None]).long()
    torch.set_default_dtype(images.dtype)  # its causal mask is made in this type
    return {
        "image_embeds": F.normalize(peer.get_image_features(images), dim=-1),
        "text_embeds": F.normalize(peer.get_text_features(tokens, attention_mask=mask), dim=-1),
    }


@torch.no_grad()
def siglip_outputs(peer: SiglipModel, images: Tensor, tokens: Tensor) -> dict[str, Tensor]:
    """Return normalized embeddings and logits of all pairs; texts attend to their padding, as in training."""
    found = peer(input_ids=tokens, pixel_values=images)
    return {
        "image_embeds": F.normalize(peer.get_image_features(images), dim=-1),
        "text_embeds": F.normalize(peer.get_text_features(tokens), dim=-1),
        "logits_per_image": found.logits_per_image,
    }


@torch.no_grad()
def pooled_states(peer: SiglipModel, images: Tensor) -> Tensor:
    """Return the output of the attention-pooling head, (batch, width)."""
    return peer.vision_model(images).pooler_output


@torch.no_grad()
def encoder_states(peer: nn.Module, images: Tensor) -> Tensor:
    """Return the normalized states of [CLS], if any, and all patches, (batch, tokens, width); MAE masks nothing."""
    if isinstance(peer, ViTMAEForPreTraining):
        peer.vit.config.mask_ratio = 0.0
        num_patches = peer.vit.embeddings.num_patches
        # Its patches are shuffled by this noise, which here leaves them in order.
        noise = torch.arange(num_patches, dtype=images.dtype).expand(len(images), -1)
        return peer.vit(images, noise=noise).last_hidden_state
    if isinstance(peer, Dinov2ForImageClassification):
        return peer.dinov2(images).last_hidden_state
    if isinstance(peer, Dinov2WithRegistersModel):
        states = peer(images).last_hidden_state
        return torch.cat([states[:, :1], states[:, 1 + peer.config.num_register_tokens :]], dim=1)
    if isinstance(peer, SiglipModel):
        return peer.vision_model(images).last_hidden_state
    return peer.vit(images).last_hidden_state
