"""Data-parallel training: parameters whole in each process (DDP), or sharded over processes (FSDP2).

Under FSDP2 each transformer block is a unit: its parameters are gathered before it runs and freed afterwards. The task
is the root unit, which holds all other parameters. It must be the task, since the objectives call methods of the model,
which no hook of a wrapper would see.
"""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, assert_never, cast, final

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from sycoca.model.transformer import CrossBlock, SelfBlock
from sycoca.training.engine.distributed.launch import Launch
from sycoca.training.engine.numerics import half_dtype
from sycoca.training.engine.recomputation import recompute_blocks
from sycoca.training.engine.task import TrainingTask
from sycoca.training.runtime_config import FixedPrecision, RuntimeConfig

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh
    from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy

FORWARD_METHODS = ("with_teacher", "with_global_contrast")
"""Methods of a task beside ``forward`` that compute with its parameters."""


@final
class DataParallel:
    """How the processes of a run share a task."""

    def __init__(self, config: RuntimeConfig, launch: Launch, device: torch.device) -> None:
        """Raises ValueError where the processes cannot be divided into groups of the config's size."""
        self._config = config
        self._device = device
        self._world_size = launch.world_size
        self._shard_size = _shard_size(config, launch)

    @property
    def is_sharded(self) -> bool:
        """Whether processes hold shards of the parameters."""
        return self._shard_size > 1

    def shard(self, task: TrainingTask, precision: FixedPrecision) -> None:
        """Shard the task's parameters in place, where that is configured; before its optimizer is built.

        Those of blocks are gathered in the run's precision.
        """
        if not self.is_sharded:
            return
        from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method

        mesh = self._mesh()
        for block in _blocks(task):
            fully_shard(block, mesh=mesh, mp_policy=_policy_of_blocks(precision))
        # Its embeddings and temperature are not rounded; autocast rounds what it multiplies.
        fully_shard(task, mesh=mesh, mp_policy=MixedPrecisionPolicy(reduce_dtype=torch.float32))
        for unit in _units(task):
            unit.set_gradient_divide_factor(1.0)
            unit.set_force_sum_reduction_for_comms(True)  # other reductions are NCCL's alone
        for method in FORWARD_METHODS:
            register_fsdp_forward_method(task, method)

    def wrap(self, task: TrainingTask) -> nn.Module:
        """Return the module to call in training: with activation checkpointing, torch.compile and DDP as configured.

        Raises ValueError where the task should be sharded and is not.
        """
        if self.is_sharded and not _units(task):
            raise ValueError("the task is not sharded; call Runtime.shard before its optimizer is built")
        if self._config.activation_checkpointing:
            recompute_blocks(task)
        if self._config.compile:
            self._compile(task)
        if self._world_size == 1 or self.is_sharded:
            return task
        return DistributedDataParallel(
            task,
            device_ids=[self._device.index] if self._device.type == "cuda" else None,
            find_unused_parameters=task.leaves_parameters_unused(),
        )

    def backward(self, loss: Tensor) -> None:
        """Backpropagate this process's part of the global loss; gradients are summed over processes.

        DDP averages them, hence the factor; FSDP2 is told not to.
        """
        (loss if self.is_sharded else loss * self._world_size).backward()

    @contextlib.contextmanager
    def accumulating(self, wrapped: nn.Module, *, is_last: bool) -> Iterator[None]:
        """Synchronize gradients in the last micro-batch of a step only.

        Shards are summed in every micro-batch, since otherwise each process would keep whole gradients; over replicas
        they are summed in the last one.
        """
        if isinstance(wrapped, DistributedDataParallel) and not is_last:
            with wrapped.no_sync():
                yield
            return
        for unit in _units(wrapped) if self.is_sharded else ():
            unit.set_requires_all_reduce(is_last, recurse=False)
        yield

    def free_gathered(self, task: nn.Module) -> None:
        """Free gathered parameters that a forward pass without a backward pass has left."""
        for unit in _units(task) if self.is_sharded else ():
            unit.reshard()

    def _compile(self, task: TrainingTask) -> None:
        """Compile in place: parameter names do not change, and masks are drawn outside the graph."""
        if self.is_sharded:
            # Each by itself: gathering the parameters of the next one cannot be compiled.
            for block in _blocks(task):
                block.forward = cast(Any, torch.compile(block.forward))
        else:
            for component in task.components():
                component.compile()

    def _mesh(self) -> "DeviceMesh":
        from torch.distributed.device_mesh import init_device_mesh

        if self._shard_size == self._world_size:
            return init_device_mesh(self._device.type, (self._world_size,))
        shape = (self._world_size // self._shard_size, self._shard_size)
        return init_device_mesh(self._device.type, shape, mesh_dim_names=("replicate", "shard"))


def _policy_of_blocks(precision: FixedPrecision) -> "MixedPrecisionPolicy":
    """Return in which precision the parameters of blocks are gathered and their gradients summed."""
    from torch.distributed.fsdp import MixedPrecisionPolicy

    return MixedPrecisionPolicy(
        param_dtype=half_dtype(precision), reduce_dtype=torch.float32, cast_forward_inputs=False
    )


def _shard_size(config: RuntimeConfig, launch: Launch) -> int:
    """Return over how many processes each tensor is sharded; 1 without sharding."""
    match config.sharding:
        case "none":
            return 1
        case "full":
            return launch.world_size
        case "hybrid":
            return 1 if launch.world_size == 1 else _group_size(config, launch)
        case unknown:
            assert_never(unknown)


def _group_size(config: RuntimeConfig, launch: Launch) -> int:
    size = launch.local_world_size if config.shard_size is None else config.shard_size
    if size is None:
        raise ValueError(
            "runtime.sharding hybrid shards over the processes of a host, and LOCAL_WORLD_SIZE does not say how many"
            " they are; set runtime.shard_size"
        )
    if launch.world_size % size:
        raise ValueError(
            f"{launch.world_size} processes cannot be divided into groups of {size}; set runtime.shard_size to a"
            " divisor of their number"
        )
    return size


def _blocks(task: nn.Module) -> list[SelfBlock | CrossBlock]:
    return [module for module in task.modules() if isinstance(module, SelfBlock | CrossBlock)]


def _units(task: nn.Module) -> "list[FSDPModule]":
    from torch.distributed.fsdp import FSDPModule

    return [module for module in task.modules() if isinstance(module, FSDPModule)]
