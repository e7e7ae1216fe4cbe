"""The configuration of device, precision and processes. Imports no torch, like all of the config."""

from dataclasses import dataclass
from typing import Literal, assert_never

FixedPrecision = Literal["fp32", "bf16", "fp16"]
"""What a forward pass is computed in."""

Precision = Literal["auto", "fp32", "bf16", "fp16"]
"""The same, or what suits the device."""

ShardingKind = Literal["none", "full", "hybrid"]
"""Where parameters, gradients and optimizer state are: whole in each process (DDP), or sharded (FSDP2)."""


def check_at_least(name: str, value: int, least: int) -> None:
    """Raise ValueError where a setting is smaller than ``least``."""
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")


def check_positive(name: str, value: float) -> None:
    """Raise ValueError where a setting is not above 0."""
    if not value > 0:  # NaN is neither
        raise ValueError(f"{name} must be positive, got {value}")


@dataclass(frozen=True, kw_only=True, slots=True)
class RuntimeConfig:
    """Device, precision and memory."""

    device: str = "auto"
    """auto (a GPU where there is one, else the CPU), cpu, cuda, cuda:1, mps."""

    precision: Precision = "auto"
    """fp32, bf16 or fp16 (autocast; weights stay fp32). auto: bf16 on GPUs that support it, else fp16; on CPUs bf16
    where a measurement says that it pays, else fp32 (the environment's SYCOCA_AUTO_PRECISION decides without one). The
    run's config keeps what was chosen."""

    tf32: bool = False
    """Let NVIDIA GPUs round the factors of fp32 matrix products to TF32 (10 bits instead of 23), which is several times
    faster. In bf16 and fp16 runs this concerns the similarities of the contrastive loss alone; on other devices nothing
    changes."""

    compile: bool = False
    """Compile the components with torch.compile; the first steps then take minutes."""

    activation_checkpointing: bool = False
    """Save only the inputs of transformer blocks and recompute the rest in the backward pass: a fraction of the
    memory for a third more time."""

    sharding: ShardingKind = "none"
    """What each of several processes keeps of parameters, gradients and optimizer state. none: all of them (DDP). full:
    its shard (FSDP2). hybrid: its shard within a group of processes; the groups are replicas."""

    shard_size: int | None = None
    """With sharding hybrid: processes per group; None: those of a host, as torchrun counts them."""

    rendezvous_seconds: float = 300.0
    """Of several processes: how long each waits at the start until all have arrived."""

    heartbeat_seconds: float | None = 20.0
    """Of several processes: silence after which one counts as lost and the others end. Each sends a heartbeat from a
    thread of its own, so slow steps are not silence. None does not watch the processes."""

    def __post_init__(self) -> None:
        check_positive("runtime.rendezvous_seconds", self.rendezvous_seconds)
        if self.heartbeat_seconds is not None:
            check_positive("runtime.heartbeat_seconds", self.heartbeat_seconds)
        if self.shard_size is not None:
            self._check_shard_size(self.shard_size)

    def _check_shard_size(self, shard_size: int) -> None:
        check_at_least("runtime.shard_size", shard_size, 1)
        match self.sharding:
            case "none" | "full":
                raise ValueError(f"runtime.shard_size is for runtime.sharding hybrid, which is {self.sharding}")
            case "hybrid":
                pass
            case unknown:
                assert_never(unknown)
