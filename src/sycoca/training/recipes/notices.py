"""Notices before the first step of what would spoil loaded weights."""

import math
from collections.abc import Collection, Iterator, Mapping

import torch

from sycoca.model.sycoca import INITIAL_LOGIT_SCALE, SyCoCa
from sycoca.training.config import OptimizerConfig
from sycoca.training.engine.optimization.optimizer import lr_scales

AVERAGE = "sycoca average, of start and end, brings much of it back"
"""What to do about forgetting (figures in docs/log.md)."""

KEEP_AND_AVERAGE = f"keep --objectives.contrastive-weight at 1 for data like this; for other data {AVERAGE}"
"""The same where the objective is a switch."""

HIGH_RATE = 1e-4
"""Models of some hundred million parameters are tuned at lower rates: at 1e-5 in BLIP's captioning, and when LAION
tuned CoCa for captions."""

FEWEST_LARGE = 20_000_000
"""Parameters from which that holds, those of a ViT-S/16; our own small models, of a hundredth of them, want 1e-3."""


def forgetting_notice(model: SyCoCa, remedy: str) -> Iterator[str]:
    """Yield that retrieval will be lost, in a training without the contrastive objective; ``remedy`` is what to do.

    Nothing is said where the weights never learned it (their temperature is the one that training starts from, which
    nothing else moves) nor where both encoders are frozen.
    """
    has_learned = not torch.equal(model.log_logit_scale.cpu(), torch.full((1,), math.log(INITIAL_LOGIT_SCALE)))
    encoders = (model.image_encoder, model.text_encoder)
    changes = any(parameter.requires_grad for encoder in encoders for parameter in encoder.parameters())
    if has_learned and changes:
        yield (
            "this training has no contrastive objective: retrieval and zero-shot classification will be forgotten (a"
            f" published CoCa fell from 54.6 % to 0.9 % text R@1 on COCO); {remedy}"
        )


def high_rate_notice(
    model: SyCoCa, loaded: Collection[str], optimizer: OptimizerConfig, lr_ratios: Mapping[str, float], remedy: str
) -> Iterator[str]:
    """Yield that the learning rate is high for what was loaded, where it is; ``remedy`` names flags that lower it."""
    sizes = {
        name: parameter.numel()
        for name, parameter in model.named_parameters()
        if name in loaded and parameter.requires_grad
    }
    num_loaded = sum(sizes.values())
    if num_loaded < FEWEST_LARGE:
        return
    scales = lr_scales(model, optimizer, lr_ratios)
    rate = optimizer.peak_lr * (sum(size * scales[name] for name, size in sizes.items()) / num_loaded)
    if rate > HIGH_RATE:
        yield (
            f"the peak learning rate of what was loaded ({num_loaded / 1e6:,.1f} M parameters that learn) is {rate:.1e}"
            f" on average: above {HIGH_RATE:.0e} models of this size forget what they know; lower {remedy}"
        )
