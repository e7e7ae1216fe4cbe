"""The optimizer, with parameter groups for weight decay and layer-wise learning-rate decay."""

import re
from collections.abc import Mapping
from typing import assert_never

import torch
from torch import nn

from sycoca.training.config import OptimizerConfig

FUSED_DEVICES = ("cpu", "cuda", "mps", "xpu")
"""Where PyTorch updates all parameters in one kernel (torch 2.6 and later)."""


def decaying_names(model: nn.Module) -> set[str]:
    """Return the names of the parameters with weight decay: the weight matrices of linear layers.

    Norms, biases, embeddings (tokens, positions, [CLS], mask tokens, pooler queries) and the temperature have none.
    """
    return {
        f"{module_name}.weight" if module_name else "weight"
        for module_name, module in model.named_modules()
        if isinstance(module, nn.Linear)
    }


_BLOCK = re.compile(r"((?:image|text)_encoder)\.blocks\.(\d+)\.")
_BEFORE_BLOCKS = re.compile(
    r"((?:image|text)_encoder)\.(?:patch_embedding|token_embedding|positions|cls_token|registers|mask_token|norm_pre)\b"
)


def layer_scales(model: nn.Module, layer_decay: float) -> dict[str, float]:
    """Return every parameter's learning-rate scale under layer-wise learning-rate decay.

    As in MAE's fine-tuning (arXiv 2111.06377, appendix A.1): the last of an encoder's n blocks has the scale
    ``layer_decay``, the first ``layer_decay ** n``, the embeddings ``layer_decay ** (n + 1)``. Heads, decoders and all
    other parameters have 1.
    """
    names = [name for name, _ in model.named_parameters()]
    depths: dict[str, int] = {}
    for name in names:
        if match := _BLOCK.match(name):
            depths[match[1]] = max(depths.get(match[1], 0), int(match[2]) + 1)

    def scale(name: str) -> float:
        if match := _BLOCK.match(name):
            return layer_decay ** (depths[match[1]] - int(match[2]))
        if match := _BEFORE_BLOCKS.match(name):
            return layer_decay ** (depths[match[1]] + 1)
        return 1.0

    return {name: scale(name) for name in names}


def lr_scales(model: nn.Module, config: OptimizerConfig, lr_ratios: Mapping[str, float]) -> dict[str, float]:
    """Return every parameter's learning-rate scale: that of its layer times its ratio in ``lr_ratios``, if any."""
    scales = layer_scales(model, 1.0 if config.layer_decay is None else config.layer_decay)
    return {name: scale * lr_ratios.get(name, 1.0) for name, scale in scales.items()}


def build_optimizer(
    model: nn.Module, config: OptimizerConfig, lr_ratios: Mapping[str, float] | None = None
) -> torch.optim.Optimizer:
    """Return the config's optimizer over all trainable parameters.

    The learning rate is set before every update and multiplied by each group's ``lr_scale``, see `lr_scales`.
    """
    decaying = decaying_names(model)
    trainable = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    scales = lr_scales(model, config, {} if lr_ratios is None else lr_ratios)
    groups = [
        {
            "params": [
                parameter for name, parameter in trainable if (name in decaying) == decays and scales[name] == scale
            ],
            "weight_decay": config.weight_decay if decays else 0.0,
            "lr_scale": scale,
        }
        for scale in sorted(set(scales.values()))
        for decays in (True, False)
    ]
    groups = [group for group in groups if group["params"]]
    is_fused = all(parameter.device.type in FUSED_DEVICES for _, parameter in trainable)
    match config.kind:
        case "adamw":
            return torch.optim.AdamW(groups, lr=config.peak_lr, betas=config.betas, eps=config.eps, fused=is_fused)
        case unknown:
            assert_never(unknown)
