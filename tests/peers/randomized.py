"""Random weights for every tensor of a peer: an untrained head can be all zeros, and comparing zeros proves nothing."""

import torch
from torch import nn

_EMBEDDINGS = ("embedding", "cls_emb", "query", "position_embeddings", "cls_token", "mask_token", "register_tokens")


@torch.no_grad()
def randomized(model: nn.Module, seed: int) -> nn.Module:
    """Set every parameter to random values, which keep the scale of activations and give logits a deviation above 1."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in sorted(model.named_parameters()):
        draw = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        parameter.copy_(_scaled(name, draw))
    return model.eval()


def _scaled(name: str, draw: torch.Tensor) -> torch.Tensor:
    if "logit_scale" in name:
        return 2 + 0.5 * draw
    if name.endswith("bias"):
        return 0.3 * draw
    if draw.ndim == 1 and name.endswith("weight"):
        return 1 + 0.3 * draw
    if any(embedding in name for embedding in _EMBEDDINGS) and "patch_embedding" not in name:
        return 0.5 * draw
    # open_clip's projections are stored transposed.
    is_right = name.endswith(("text_projection", "proj")) and draw.ndim == 2
    fan_in = draw.shape[0] if is_right else draw[0].numel()
    gain = 2.0 if "text_decoder.text_projection" in name else 1.0
    return gain * fan_in**-0.5 * draw
