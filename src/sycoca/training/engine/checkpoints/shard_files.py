"""The tensor files of a sharded checkpoint: each process writes its shards, in the format of PyTorch's own.

    shard-00001-model-00001-of-00002.safetensors    the first process
    shard-00001-model-00002-of-00002.safetensors
    shard-00002-model-00001-of-00002.safetensors    the second
    ...

`torch.distributed.checkpoint` plans and writes them (`HuggingFaceStorageWriter`); nothing is pickled. Tensors are
called ``model/NAME``, ``optimizer/exp_avg/NAME`` and ``average/NAME``; a file's header says which rows it holds.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sycoca.training.engine.checkpoints.tensor_files import pieces_of
from sycoca.training.engine.distributed.shards import is_first_replica, is_sharded, own_shard

if TYPE_CHECKING:
    from torch.distributed.checkpoint import SavePlan

    from sycoca.training.engine.checkpoints.training_tensors import TrainingTensors

OFFSETS_KEY = "DCP_SHARDING_INFO"
"""Under this key a file's header has the first row of each tensor."""

_FILE_NAME = re.compile(r"shard-(\d{5})-model-\d{5}-of-\d{5}\.safetensors")


def shard_files(folder: Path) -> list[Path]:
    """Return the files of all shards that are there, in order; none where the checkpoint is not sharded."""
    return sorted(path for path in folder.glob("shard-*.safetensors") if _FILE_NAME.fullmatch(path.name))


def files_of_rank(folder: Path, rank: int) -> list[Path]:
    """Return those that one process has written."""
    return [path for path in shard_files(folder) if path.name.startswith(f"shard-{rank + 1:05d}-")]


def staged(tensors: "TrainingTensors", *, is_main_rank: bool) -> dict[str, Tensor]:
    """Return copies on the CPU of what this process writes, by their names in the files; training may go on.

    That are its shards, unless another replica writes them, and of the main process also what is not sharded.
    """
    from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions

    own = {
        f"{part}/{name}": tensor.detach()
        for part, named in tensors.items()
        for name, tensor in named.items()
        if (is_first_replica(tensor) and own_shard(tensor).numel() if is_sharded(tensor) else is_main_rank)
    }
    stager = DefaultStager(StagingOptions(False, False, False, False))
    try:
        copies = stager.stage(own)
    finally:
        stager.close()
    assert isinstance(copies, dict), "staging is not asynchronous"
    return copies


@torch.no_grad()
def write_shards(folder: Path, tensors: Mapping[str, Tensor], rank: int) -> None:
    """Write the files of this process; without communication, since training uses the process group meanwhile."""
    from torch.distributed.checkpoint import DefaultSavePlanner, HuggingFaceStorageWriter

    if not tensors:
        return
    writer = HuggingFaceStorageWriter(str(folder), save_distributed=True)
    planner = DefaultSavePlanner(flatten_state_dict=False)
    planner.set_up_planner(dict(tensors), writer.storage_meta(), is_coordinator=True)
    writer.set_up_storage_writer(True)
    plan = writer.prepare_local_plan(planner.create_local_plan())
    writer.write_data(planner.finish_plan(_with_files(plan, tensors, rank)), planner).wait()


def _with_files(plan: "SavePlan", tensors: Mapping[str, Tensor], rank: int) -> "SavePlan":
    """Return a plan that says which file of this process each tensor goes to."""
    sizes = {name: own_shard(tensor).nbytes for name, tensor in tensors.items()}
    file_of = {name: number for number, piece in enumerate(pieces_of(sizes), start=1) for name in piece}
    return replace(plan, storage_data={"shard_index": rank + 1, "fqn_to_index_mapping": file_of})
