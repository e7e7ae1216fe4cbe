import pytest
import torch

from sycoca.model.masking_config import MaskingConfig
from sycoca.objectives.config import ObjectivesConfig
from sycoca.training.engine.distributed.data_parallel import DataParallel
from sycoca.training.engine.distributed.launch import Launch
from sycoca.training.recipes.image_text.task import ImageTextTask
from sycoca.training.runtime_config import RuntimeConfig, ShardingKind


def parallel(sharding: ShardingKind, launch: Launch, shard_size: int | None = None) -> DataParallel:
    config = RuntimeConfig(sharding=sharding, shard_size=shard_size)
    return DataParallel(config, launch, torch.device("cpu"))


EIGHT = Launch(world_size=8, local_world_size=4)


def test_parameters_are_sharded_over_several_processes_only():
    assert not parallel("none", EIGHT).is_sharded
    assert parallel("full", EIGHT).is_sharded
    assert parallel("hybrid", EIGHT).is_sharded
    assert not parallel("hybrid", EIGHT, 1).is_sharded
    for sharding in ("full", "hybrid"):
        assert not parallel(sharding, Launch()).is_sharded


def test_groups_must_divide_the_processes():
    with pytest.raises(ValueError, match=r"8 processes cannot be divided into groups of 3; set runtime.shard_size"):
        parallel("hybrid", EIGHT, 3)
    with pytest.raises(ValueError, match=r"LOCAL_WORLD_SIZE does not say how many they are; set runtime.shard_size"):
        parallel("hybrid", Launch(world_size=8))
    with pytest.raises(ValueError, match=r"shard_size is for runtime.sharding hybrid, which is full"):
        RuntimeConfig(sharding="full", shard_size=2)
    with pytest.raises(ValueError, match=r"shard_size must be at least 1, got 0"):
        RuntimeConfig(sharding="hybrid", shard_size=0)


def test_a_task_must_be_sharded_before_it_is_wrapped(model):
    task = ImageTextTask(model, masking=MaskingConfig(), objectives=ObjectivesConfig())
    with pytest.raises(ValueError, match=r"not sharded; call Runtime.shard before its optimizer is built"):
        parallel("full", EIGHT).wrap(task)
