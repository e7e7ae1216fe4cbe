"""AdamW and its two groups of parameters."""

import torch
from torch import nn

from sycoca.training.config import OptimizerConfig

FUSED_DEVICES = ("cpu", "cuda", "mps", "xpu")
"""Where PyTorch updates all parameters in one kernel (torch 2.6 and later)."""


def decaying_names(model: nn.Module) -> set[str]:
    """Return the names of the parameters that weight decay pulls to zero: the matrices of linear layers.

    Norms, biases, embeddings (tokens, positions, [CLS], mask tokens, pooler queries) and the temperature are
    left alone: small values mean nothing there.
    """
    return {
        f"{module_name}.weight" if module_name else "weight"
        for module_name, module in model.named_modules()
        if isinstance(module, nn.Linear)
    }


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.AdamW:
    """Return AdamW over all trainable parameters; the learning rate is set before every update."""
    decaying = decaying_names(model)
    trainable = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    groups = [
        {
            "params": [parameter for name, parameter in trainable if name in decaying],
            "weight_decay": config.weight_decay,
        },
        {"params": [parameter for name, parameter in trainable if name not in decaying], "weight_decay": 0.0},
    ]
    is_fused = all(parameter.device.type in FUSED_DEVICES for _, parameter in trainable)
    return torch.optim.AdamW(groups, lr=config.peak_lr, betas=config.betas, eps=config.eps, fused=is_fused)
