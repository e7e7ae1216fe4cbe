"""Copies from the CPU to the model's device."""

from jaxtyping import Shaped
from torch import Tensor, device

PINNING_DEVICES = frozenset({"cuda"})
"""Devices that copy from pinned (page-locked) memory while they and the host compute. From other memory of the host, a
copy first waits until the device has done all queued work."""


def copied_to(tensor: Shaped[Tensor, "*shape"], target: device) -> Shaped[Tensor, "*shape"]:
    """Return the tensor on the device; the host does not wait for the copy."""
    if target.type in PINNING_DEVICES and tensor.device.type == "cpu" and not tensor.is_pinned():
        tensor = tensor.pin_memory()
    return tensor.to(target, non_blocking=True)
