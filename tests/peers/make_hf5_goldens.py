"""Write outputs of small models that only transformers 5 has, for tests without it: DINOv3.

    make peers5-goldens

The folders are as those of ``make_hf_goldens.py``. Outputs are those of float64: coordinates of patches, which
transformers computes in float32 whatever the model's dtype, are computed in float64, and the base of the rotary
frequencies makes these exact.
"""

import importable_torchvision  # noqa: F401, I001 (first)
from unittest.mock import patch

import torch
from transformers import DINOv3ViTConfig, DINOv3ViTModel
from transformers.models.dinov3_vit import modeling_dinov3_vit

from golden_folders import save_outputs, saved_peer
from randomized import randomized

SIZES = {
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "hidden_size": 32,
    "image_size": 32,
    "patch_size": 8,
    "rope_theta": 256.0,
    "num_register_tokens": 3,
}


def main() -> None:
    generator = torch.Generator().manual_seed(7)
    images = torch.randn(3, 3, 32, 32, generator=generator)
    larger = torch.randn(2, 3, 64, 32, generator=generator)
    for name, config, seed in (
        ("hf_dinov3", DINOv3ViTConfig(**SIZES, intermediate_size=128), 21),
        ("hf_dinov3_gated", DINOv3ViTConfig(**SIZES, intermediate_size=40, use_gated_mlp=True, hidden_act="silu"), 22),
    ):
        peer = randomized(DINOv3ViTModel(config), seed)
        folder = saved_peer(peer, name)
        peer = peer.double()
        outputs = {"states": _states(peer, images), "larger_states": _states(peer, larger)}
        save_outputs(folder, {"images": images, "larger_images": larger}, outputs)


@torch.no_grad()
def _states(peer: DINOv3ViTModel, images: torch.Tensor) -> torch.Tensor:
    """Return the normalized states of [CLS] and all patches, (batch, tokens, width)."""
    centers = modeling_dinov3_vit.get_patches_center_coordinates
    with patch.object(
        modeling_dinov3_vit,
        "get_patches_center_coordinates",
        lambda rows, columns, dtype, device: centers(rows, columns, dtype=torch.float64, device=device),  # noqa: ARG005
    ):
        states = peer(images.double()).last_hidden_state
    return torch.cat([states[:, :1], states[:, 1 + peer.config.num_register_tokens :]], dim=1)


if __name__ == "__main__":
    main()
