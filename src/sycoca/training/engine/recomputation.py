"""Activation checkpointing."""

from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint

from sycoca.model.transformer import CrossBlock, SelfBlock


def recompute_blocks(module: nn.Module) -> None:
    """Make every transformer block save only its inputs and recompute the rest in the backward pass, in place.

    Parameter names do not change. Losses and gradients are the same to the last bit: blocks use no random numbers.
    """
    for block in module.modules():
        if isinstance(block, SelfBlock | CrossBlock):
            block.forward = partial(checkpoint, block.forward, use_reentrant=False, preserve_rng_state=False)
