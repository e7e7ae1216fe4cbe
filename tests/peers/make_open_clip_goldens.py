"""Write outputs of small models of open_clip, for tests without it: goldens/open_clip_*.safetensors.

    make peers-goldens

Each file holds the model's JSON config, its tensors (float32, random), inputs, and the outputs in float64.
"""

import json
from pathlib import Path
from typing import Any

import torch
from comparison import token_rows
from open_clip_peers import open_clip_outputs, open_clip_peer
from safetensors.torch import save_file

FOLDER = Path(__file__).parent / "goldens"
CONTEXT, VOCABULARY = 10, 40
LENGTHS = (4, 7, CONTEXT)


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, described in _forms().items():
        peer = open_clip_peer(described, seed=len(name))
        own = {f"peer.{key}": tensor.clone().contiguous() for key, tensor in peer.state_dict().items()}
        context = described["text_cfg"]["context_length"]
        generator = torch.Generator().manual_seed(5)
        images = torch.randn(len(LENGTHS), 3, 24, 24, generator=generator)
        tokens = token_rows(VOCABULARY, context, LENGTHS, seed=6)
        outputs = open_clip_outputs(peer.double(), images.double(), tokens, LENGTHS)
        inputs = {"images": images, "tokens": tokens, "lengths": torch.tensor(LENGTHS)}
        save_file(
            {**own, **inputs, **{f"output.{key}": tensor.contiguous() for key, tensor in outputs.items()}},
            FOLDER / f"open_clip_{name}.safetensors",
            metadata={"described": json.dumps(described)},
        )


def _forms() -> dict[str, dict[str, Any]]:
    pooler = {"attentional_pool": True, "attn_pooler_heads": 2, "attn_pooler_queries": 5}
    return {
        "coca": _coca(24, **pooler),
        "coca_fused_pooler": _coca(16, **pooler),
        "coca_without_pooler": _coca(16),
        "coca2_cascade": _coca(24, is_mask_correct=True, **{**pooler, "attentional_pool": "cascade"}),
        "coca2_parallel": _coca(24, is_mask_correct=True, **{**pooler, "attentional_pool": "parallel"}),
        "clip": _clip(),
        "clip_quickgelu": {**_clip(), "quick_gelu": True},
        "clip_wide_mlp": _clip_wide_mlp(),
    }


def _clip(image_width: int = 24) -> dict[str, Any]:
    return {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 24, "layers": 2, "width": image_width, "head_width": 8, "patch_size": 8},
        "text_cfg": {
            "context_length": CONTEXT,
            "vocab_size": VOCABULARY,
            "width": 16,
            "heads": 2,
            "layers": 2,
        },
    }


def _clip_wide_mlp() -> dict[str, Any]:
    described = _clip()
    described["vision_cfg"]["mlp_ratio"] = 4.3334
    return described


def _coca(image_width: int, *, is_mask_correct: bool = False, **vision: Any) -> dict[str, Any]:
    described = _clip(image_width)
    described["multimodal_cfg"] = dict(described["text_cfg"])
    described["vision_cfg"] |= {"output_tokens": True, **vision}
    described["text_cfg"] |= {"embed_cls": True, "output_tokens": True}
    if is_mask_correct:
        described["text_cfg"]["correct_cls_mask"] = True
    return {**described, "custom_text": True}


if __name__ == "__main__":
    main()
