"""Bytes of a step's collectives, and those that a process keeps of a model in training."""

from collections import Counter
from typing import Any, Literal, get_args

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sycoca.training.engine.distributed.shards import own_shard
from sycoca.training.engine.update import Updater

Collective = Literal["allgather", "reduce_scatter", "allreduce"]


class CollectiveBytes(TorchDispatchMode):
    """Counts the bytes of the whole tensors that are gathered, scattered or reduced, by collective.

    In a ring of n processes each sends (n - 1) / n of them, for an all-reduce twice.
    """

    def __init__(self) -> None:
        super().__init__()
        self.counted: Counter[Collective] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace == "c10d":
            sizes = [leaf.nbytes for leaf in tree_leaves(args) if isinstance(leaf, Tensor)]
            for name in get_args(Collective):
                if name in func.__name__:
                    self.counted[name] += sum(sizes) if name == "allreduce" else max(sizes)
        return func(*args, **(kwargs or {}))


def kept_bytes(updater: Updater) -> dict[str, int]:
    """Return the bytes of parameters, gradients and optimizer state of this process after a step."""
    parameters = [parameter for group in updater.optimizer.param_groups for parameter in group["params"]]
    states = [value for state in updater.optimizer.state.values() for value in state.values() if value.ndim]
    return {
        "parameters": _bytes(parameters),
        "gradients": _bytes([one.grad for one in parameters if one.grad is not None]),
        "optimizer": _bytes(states),
    }


def _bytes(tensors: list[Tensor]) -> int:
    return sum(own_shard(tensor).nbytes for tensor in tensors)
