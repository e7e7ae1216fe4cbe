"""Models with random values in every tensor, and batches for them."""

from collections.abc import Callable

import torch

from sycoca.model.sycoca import SyCoCa
from sycoca.records import ImageTextBatch

BatchMaker = Callable[..., ImageTextBatch]


def roughened(model: SyCoCa) -> SyCoCa:
    """Add noise to every tensor, biases and norms included: zeros and ones would hide a tensor that is not used."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name != "log_logit_scale":
                parameter.add_(torch.randn_like(parameter), alpha=0.2)
    return model
