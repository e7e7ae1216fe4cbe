"""Training steps on device ``meta``, which computes shapes alone, under rules that keep a GPU busy.

A GPU works through a queue. The host runs ahead of it unless it needs a value from it, or copies from memory that is
not pinned: then the GPU is idle until the host has queued more work. `NoHostWaits` raises for all of these.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sycoca.training.engine.runtime import Runtime

META = torch.device("meta")

READS = ("_local_scalar_dense", "item", "equal", "is_nonzero")
"""Operators that return a value of the device to the host."""

SHAPES_FROM_VALUES = (
    "nonzero",
    "nonzero_numpy",
    "masked_select",
    "_unique",
    "_unique2",
    "unique_dim",
    "unique_consecutive",
    "bincount",
    "repeat_interleave",
)
"""Operators whose result has a shape that the host has to learn from the device."""

COPIES = ("_to_copy", "copy_", "lift_fresh")

FACTORIES = (torch.tensor, torch.as_tensor)
"""Functions that copy Python numbers to a device; the dispatcher does not see it for ``meta``."""


class HostWaitError(AssertionError):
    """The host would wait for the device, or an operator mixes devices."""


class NoHostWaits(TorchDispatchMode):
    """Raises HostWaitError for every operator for which the host would wait for a GPU.

    ``pinned`` are the tensors in pinned memory, which may be copied to the device without waiting.
    """

    def __init__(self, pinned: list[Tensor]) -> None:
        super().__init__()
        self._pinned = pinned
        self.num_operators = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        on_device = [tensor for tensor in tensors if tensor.device == META]
        if name in COPIES:
            self._check_copy(name, tensors, kwargs)
        elif on_device:
            self.num_operators += 1
            if len(on_device) < len(tensors):
                raise HostWaitError(f"{name} mixes a tensor of the CPU with those of the device")
            self._check_values(name, args)
        return func(*args, **kwargs)

    def _check_values(self, name: str, args: tuple[Any, ...]) -> None:
        if name in READS:
            raise HostWaitError(f"{name} reads a value of the device")
        indices = tree_leaves(args[1]) if name.removesuffix("_") in ("index", "index_put", "_index_put_impl") else []
        by_mask = any(isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8) for index in indices)
        if name in SHAPES_FROM_VALUES or by_mask:
            raise HostWaitError(f"{name}{' by a mask' if by_mask else ''} has a shape that depends on values")

    def _check_copy(self, name: str, tensors: list[Tensor], kwargs: dict[str, Any]) -> None:
        source, target = tensors[-1].device, kwargs.get("device") or tensors[0].device
        if source.type == "meta" and target.type == "cpu":
            raise HostWaitError(f"{name} copies from the device to the CPU")
        if source.type == "cpu" and target.type == "meta":
            if not kwargs.get("non_blocking"):
                raise HostWaitError(f"{name} to the device blocks: it is not non_blocking")
            if not any(tensors[-1] is pinned for pinned in self._pinned):
                raise HostWaitError(f"{name} to the device waits: its source is not pinned")


class NoNumbersFromTheHost(TorchFunctionMode):
    """Raises HostWaitError where Python numbers become a tensor of the device."""

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in FACTORIES and torch.device(kwargs.get("device") or "cpu") == META:
            raise HostWaitError(f"{func.__name__} copies from the CPU to the device, and waits for it")
        return func(*args, **kwargs)


@contextmanager
def no_host_waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[NoHostWaits]:
    """Refuse host waits; memory counts as pinned after ``pin_memory``, which needs a GPU and is replaced."""
    pinned: list[Tensor] = []

    def pin_memory(tensor: Tensor) -> Tensor:
        pinned.append(tensor.clone())
        return pinned[-1]

    with monkeypatch.context() as patched:
        patched.setattr("sycoca.device_copies.PINNING_DEVICES", frozenset({"meta"}))
        patched.setattr(Tensor, "pin_memory", pin_memory)
        with NoNumbersFromTheHost(), NoHostWaits(pinned) as mode:
            yield mode


@contextmanager
def runtime_on_meta(config: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    """Return a runtime whose device is ``meta`` and does what a GPU does; PyTorch refuses some of it there."""
    with Runtime(config) as runtime, monkeypatch.context() as patched:
        runtime.device = META
        patched.setattr("sycoca.precision.autocast", lambda *_, **__: nullcontext())
        patched.setattr("sycoca.training.engine.optimization.optimizer.FUSED_DEVICES", ("meta",))
        # PyTorch's fused AdamW has a kernel for meta, but is not offered there.
        patched.setattr(sys.modules["torch.optim.adam"], "_device_dtype_check_for_fused", lambda *_, **__: None)
        yield runtime
