"""The limits of memory, as errors with a remedy."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from sycoca.facts.optimizer_facts import BYTES_PER_FROZEN_PARAMETER
from sycoca.model.sycoca import SyCoCa
from sycoca.training.config import OptimizerConfig, RunConfig
from sycoca.training.engine.distributed.shards import own_shard

_STATES_PER_BLOCK = 8
"""Lower bound on the width-sized activations that a block saves per token for its backward pass."""


def check_memory(config: RunConfig, model: SyCoCa, device: torch.device, micro_batch_size: int) -> None:
    """Raise ValueError where a step cannot fit into the device's memory, before the system kills the run.

    The estimate is a lower bound: a step that passes this check may still run out of memory.
    """
    available = device_bytes(device)
    fixed = state_bytes(model, config.optimizer)
    per_pair = _least_bytes_per_pair(model)
    needed = fixed + micro_batch_size * per_pair
    if needed <= available:
        return
    fitting = max((available - fixed) // per_pair, 0)
    remedy = f"at most {fitting:,} fit" if fitting else "the model alone is too large for it"
    raise ValueError(
        f"a forward pass of {micro_batch_size:,} images takes at least {gigabytes(needed)} of memory, {device} has"
        f" {gigabytes(available)}: {remedy}; set --training.micro-batch-size, which the --dry-run of a"
        f" pretraining measures (training.global_batch_size {config.training.global_batch_size:,} must be a multiple of"
        " it)"
    )


@contextmanager
def explained_out_of_memory(micro_batch_size: int, device: torch.device) -> Iterator[None]:
    """Context that turns out-of-memory errors into a MemoryError with the batch size and a remedy."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        raise MemoryError(
            f"out of memory on {device} with {micro_batch_size:,} pairs per forward pass; try"
            f" --training.micro-batch-size {max(micro_batch_size // 2, 1)}, which the --dry-run of a pretraining"
            " measures"
        ) from error


def device_bytes(device: torch.device) -> int:
    """Return the total memory of a GPU, or the memory that the system or its container allows a process."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 2**63
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text(encoding="ascii").strip() if limit.exists() else "max"
    return physical if text == "max" else min(physical, int(text))


def state_bytes(model: SyCoCa, optimizer: OptimizerConfig) -> int:
    """Return what weights, gradients and optimizer take in this process, which may hold shards of them."""
    trained, frozen = optimizer.facts.bytes_per_parameter, BYTES_PER_FROZEN_PARAMETER
    return sum(
        own_shard(parameter).numel() * (trained if parameter.requires_grad else frozen)
        for parameter in model.parameters()
    )


def gigabytes(size: int) -> str:
    """Return a readable size in GiB."""
    return f"{size / 2**30:,.2f} GiB"


def _least_bytes_per_pair(model: SyCoCa) -> int:
    image, text, decoder = model.config.image_encoder, model.config.text_encoder, model.config.text_decoder
    image_learns, text_learns = _learns(model.image_encoder.blocks), _learns(model.text_encoder.blocks)
    numbers = 3 * image.image_size**2
    # Frozen blocks save no activations unless gradients pass through them.
    if image_learns:
        numbers += _STATES_PER_BLOCK * image.num_patches * image.width * image.depth
    if decoder is not None and text_learns:
        numbers += _STATES_PER_BLOCK * text.width * text.depth
    if decoder is not None and (image_learns or text_learns or _learns(model.text_decoder)):
        numbers += _STATES_PER_BLOCK * text.width * decoder.depth
    return 4 * numbers


def _learns(module: nn.Module | None) -> bool:
    return module is not None and any(parameter.requires_grad for parameter in module.parameters())


def _is_out_of_memory(error: Exception) -> bool:
    # On CPUs PyTorch raises a RuntimeError like any other.
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
