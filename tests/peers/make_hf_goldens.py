"""Write outputs of small CLIP, SigLIP, ViT, ViTMAE and DINOv2 models of transformers 4, for tests without it.

    make peers-goldens

Each folder ``goldens/hf_*`` has the files of ``save_pretrained`` (random weights) and ``outputs.safetensors`` with
inputs and outputs in float64.
"""

import importable_torchvision  # noqa: F401, I001 (first)
import torch
from transformers import (
    CLIPConfig,
    Dinov2Config,
    Dinov2WithRegistersConfig,
    SiglipConfig,
    SiglipModel,
    ViTConfig,
    ViTMAEConfig,
)

from comparison import token_rows
from golden_folders import save_outputs, saved_peer
from hf_peers import (
    clip_outputs,
    clip_peer,
    dino_peer,
    encoder_states,
    mae_peer,
    pooled_states,
    registers_peer,
    siglip_outputs,
    siglip_peer,
    vit_peer,
)

CONTEXT, VOCABULARY, LENGTHS = 10, 40, [4, 7, 10]
TRANSFORMER = {"num_hidden_layers": 2, "num_attention_heads": 2}
IMAGE = {"image_size": 24, "patch_size": 8}


def main() -> None:
    generator = torch.Generator().manual_seed(5)
    images = torch.randn(len(LENGTHS), 3, 24, 24, generator=generator)
    for activation in ("gelu", "quick_gelu"):
        peer = clip_peer(_clip_config(activation), seed=11)
        tokens = token_rows(VOCABULARY, CONTEXT, LENGTHS, seed=6)
        folder = saved_peer(peer, f"hf_clip_{activation}")
        outputs = clip_outputs(peer.double(), images.double(), tokens, LENGTHS)
        torch.set_default_dtype(torch.float32)
        save_outputs(folder, {"images": images, "tokens": tokens, "lengths": torch.tensor(LENGTHS)}, outputs)
    sizes = {**TRANSFORMER, **IMAGE, "hidden_size": 16, "intermediate_size": 64}
    mae_sizes = {
        "decoder_hidden_size": 16,
        "decoder_intermediate_size": 64,
        "decoder_num_hidden_layers": 1,
        "decoder_num_attention_heads": 2,
    }
    dino_sizes = {**TRANSFORMER, **IMAGE, "hidden_size": 16}
    for name, peer in (
        ("hf_vit", vit_peer(ViTConfig(**sizes), seed=12)),
        ("hf_vit_mae", mae_peer(ViTMAEConfig(**{**sizes, "intermediate_size": 40}, **mae_sizes), seed=13)),
        ("hf_siglip", siglip_peer(_siglip_config(), seed=16)),
        ("hf_dinov2", dino_peer(Dinov2Config(**dino_sizes), seed=14)),
        ("hf_dinov2_swiglu", dino_peer(Dinov2Config(**dino_sizes, use_swiglu_ffn=True), seed=17)),
        ("hf_dinov2_registers", registers_peer(Dinov2WithRegistersConfig(**dino_sizes), seed=15)),
    ):
        folder = saved_peer(peer, name)
        inputs, outputs = {"images": images}, {"states": encoder_states(peer.double(), images.double())}
        if isinstance(peer, SiglipModel):
            tokens = token_rows(VOCABULARY, CONTEXT, LENGTHS, seed=6)
            inputs |= {"tokens": tokens, "lengths": torch.tensor(LENGTHS)}
            outputs["pooled"] = pooled_states(peer, images.double())
            outputs |= siglip_outputs(peer, images.double(), tokens)
        save_outputs(folder, inputs, outputs)


def _siglip_config() -> SiglipConfig:
    sizes = {**TRANSFORMER, "hidden_size": 16, "intermediate_size": 40}
    text = {**sizes, "vocab_size": VOCABULARY, "max_position_embeddings": CONTEXT}
    return SiglipConfig(vision_config={**sizes, **IMAGE}, text_config=text)


def _clip_config(activation: str) -> CLIPConfig:
    special = {"bos_token_id": VOCABULARY - 2, "eos_token_id": VOCABULARY - 1, "pad_token_id": 0}
    text = {
        **TRANSFORMER,
        **special,
        "hidden_size": 16,
        "intermediate_size": 64,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": CONTEXT,
        "hidden_act": activation,
    }
    vision = {**TRANSFORMER, **IMAGE, "hidden_size": 24, "intermediate_size": 96, "hidden_act": activation}
    return CLIPConfig(text_config=text, vision_config=vision, projection_dim=12)


if __name__ == "__main__":
    main()
