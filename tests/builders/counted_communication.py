"""A training step of several processes whose collectives are counted."""

import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from builders.sharded_updates import in_a_process
from builders.two_processes import MODEL, batch_of, rows_of
from sycoca.model.masking_config import MaskingConfig
from sycoca.model.sycoca import SyCoCa
from sycoca.objectives.config import ObjectivesConfig
from sycoca.objectives.contrastive import Ranks
from sycoca.training.config import OptimizerConfig
from sycoca.training.engine.distributed.collectives import sum_count
from sycoca.training.engine.distributed.shards import own_shard
from sycoca.training.engine.optimization.optimizer import build_optimizer
from sycoca.training.engine.runtime import Runtime
from sycoca.training.engine.update import Updater
from sycoca.training.recipes.image_text.task import ImageTextTask
from sycoca.training.runtime_config import RuntimeConfig

KINDS = {
    "allreduce_": "all_reduce",
    "allgather_": "all_gather",
    "_allgather_base_": "all_gather",
    "_reduce_scatter_base_": "reduce_scatter",
}
"""Operators of the process group, by the collective that they are."""

BATCH = 8
"""Pairs of the global batch."""

INPUTS = {"allreduce_": 0, "allgather_": 1, "_allgather_base_": 1, "_reduce_scatter_base_": 1}
"""Which of their arguments this process contributes."""


class CountedCollectives(TorchDispatchMode):
    """Counts the bytes that this process contributes to collectives, those of DDP and FSDP2 included."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes: dict[str, int] = defaultdict(int)

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        if func.namespace == "c10d":
            name = func.overloadpacket.__name__
            own = [leaf for leaf in tree_leaves(args[INPUTS[name]]) if isinstance(leaf, Tensor)]
            self.bytes[KINDS[name]] += sum(tensor.nbytes for tensor in own)
        return func(*args, **(kwargs or {}))


SHARDINGS: dict[str, RuntimeConfig] = {
    "none": RuntimeConfig(device="cpu"),
    "full": RuntimeConfig(device="cpu", sharding="full"),
    "hybrid": RuntimeConfig(device="cpu", sharding="hybrid", shard_size=2),
}


def count_steps(rank: int, world_size: int, port: int, folder: str) -> None:
    """Do steps in one of several processes under each sharding; write what the last one sent and what is kept."""
    in_a_process(rank, world_size, port)
    counts = {name: _count_step(config) for name, config in SHARDINGS.items()}
    Path(folder, f"{rank}.json").write_text(json.dumps(counts), encoding="utf-8")


def _count_step(config: RuntimeConfig) -> dict[str, int]:
    with Runtime(config) as runtime:
        torch.manual_seed(3)
        model = SyCoCa(MODEL)
        ranks = Ranks(gather=runtime.gather, rank=runtime.rank)
        task = ImageTextTask(model, masking=MaskingConfig(), objectives=ObjectivesConfig(), ranks=ranks)
        runtime.shard(task)
        optimizer = build_optimizer(model, OptimizerConfig())
        updater = Updater(runtime, task, optimizer, clip_norm=1.0)
        own = BATCH // runtime.world_size
        batch = rows_of(batch_of(BATCH), slice(runtime.rank * own, (runtime.rank + 1) * own))
        batch = replace(batch, images=batch.images.float())
        for _ in range(2):  # in the second step DDP arranges its buckets
            updater.update([batch], lr=1e-3)
        with CountedCollectives() as counted:
            sum_count(1, runtime.device)  # labels, as the loader does
            result = updater.update([batch], lr=1e-3)
            runtime.gather_numbers([result.gradient_norm, 0.0, result.loss, *result.terms.values()]).rows()
        states = [tensor for state in optimizer.state.values() for tensor in state.values()]
        tensors = [*model.parameters(), *(one.grad for one in model.parameters() if one.grad is not None), *states]
        return {"state": sum(own_shard(one).nbytes for one in tensors), **counted.bytes}
