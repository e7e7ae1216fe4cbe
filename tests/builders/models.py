"""Models with random values in every tensor, and batches for them."""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file

from sycoca.model.config import ImageEncoderConfig, SyCoCaConfig, TextEncoderConfig
from sycoca.model.sycoca import SyCoCa
from sycoca.records import ImageTextBatch
from sycoca.weights.conversion.hugging_face.read import hf_clip_tensors
from sycoca.weights.conversion.hugging_face.vocabulary import CLIP_VOCAB_SIZE

BatchMaker = Callable[..., ImageTextBatch]


def roughened(model: SyCoCa) -> SyCoCa:
    """Add noise to every tensor, biases and norms included: zeros and ones would hide a tensor that is not used."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name != "log_logit_scale":
                parameter.add_(torch.randn_like(parameter), alpha=0.2)
    return model


def write_hf_clip(folder: Path) -> None:
    """Write a small CLIP with random weights and CLIP's vocabulary, as transformers saves one."""
    width, depth, num_heads = 32, 2, 4
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = SyCoCa(
            SyCoCaConfig(
                image_encoder=ImageEncoderConfig(
                    image_size=64, patch_size=32, width=width, depth=depth, num_heads=num_heads
                ),
                text_encoder=TextEncoderConfig(
                    vocab_size=CLIP_VOCAB_SIZE,
                    context_length=77,
                    width=width,
                    depth=depth,
                    num_heads=num_heads,
                    pooling="eos",
                ),
                text_decoder=None,
                image_decoder=None,
                embed_dim=16,
            )
        )
    sizes = {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": depth,
        "num_attention_heads": num_heads,
        "hidden_act": "gelu",
    }
    described = {
        "model_type": "clip",
        "projection_dim": 16,
        "vision_config": {**sizes, "image_size": 64, "patch_size": 32},
        "text_config": sizes,
    }
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(described))
    save_file(hf_clip_tensors(model), folder / "model.safetensors")
