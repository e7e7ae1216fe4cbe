"""Collectives beyond those of torch.distributed, and how to tell their errors."""

from collections.abc import Sequence
from typing import Any, final

import torch
import torch.distributed as dist
from jaxtyping import Int
from torch import Tensor


@final
class GatheredNumbers:
    """Numbers of all processes that may still be on their way."""

    def __init__(self, parts: list[Tensor], work: "dist.Work | None") -> None:
        self._parts = parts
        self._work = work
        self._copied: torch.cuda.Event | None = None
        if parts[0].device.type == "cuda":
            self._copy_to_host()

    @classmethod
    def start(cls, values: Sequence[Tensor | float], device: torch.device, world_size: int) -> "GatheredNumbers":
        """Start to gather numbers of all processes, which are tensors of the device or numbers of the host."""
        # A number that is copied from the CPU would wait for the device.
        tensors = [value if isinstance(value, Tensor) else torch.full((), value, device=device) for value in values]
        own = torch.stack([value.detach().float() for value in tensors])
        if world_size == 1:
            return cls([own], None)
        parts = [torch.empty_like(own) for _ in range(world_size)]
        return cls(parts, dist.all_gather(parts, own, async_op=True))

    def rows(self) -> list[list[float]]:
        """Wait for the numbers and return them, a row per process."""
        if self._work is not None:
            self._work.wait()
        if self._copied is not None:
            self._copied.synchronize()
        return torch.stack(self._parts).tolist()

    def _copy_to_host(self) -> None:
        """Copy the numbers behind the work that is queued now, so that reading them does not wait for later work."""
        if self._work is not None:
            self._work.wait()  # on a GPU only the stream waits
            self._work = None
        self._parts = [
            torch.empty_like(part, device="cpu", pin_memory=True).copy_(part, non_blocking=True) for part in self._parts
        ]
        self._copied = torch.cuda.Event()
        self._copied.record()


@final
class DifferentiableGather(torch.autograd.Function):
    """Differentiable all_gather: the backward pass returns the gradient of the sum of all processes' losses.

    Both public functions for this are deprecated in torch 2.13.
    """

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, rank: int, world_size: int) -> Tensor:
        """Return the rows of all processes in order of rank."""
        ctx.rows = slice(rank * len(tensor), (rank + 1) * len(tensor))
        parts = [torch.empty_like(tensor, memory_format=torch.contiguous_format) for _ in range(world_size)]
        dist.all_gather(parts, tensor.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """Return this process's rows of the gradients' sum over processes."""
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total[ctx.rows], None, None


def sum_count(number: int, device: torch.device) -> Int[Tensor, ""]:
    """Return the sum of a count over processes, on the device: the host does not wait for a GPU."""
    total = torch.full((), number, dtype=torch.long, device=device)
    dist.all_reduce(total)
    return total


def is_of_collective(error: RuntimeError) -> bool:
    """Return whether an error is one of a collective, which fails where another process has ended."""
    return isinstance(error, dist.DistError) or any(name in str(error).lower() for name in ("gloo", "nccl"))
