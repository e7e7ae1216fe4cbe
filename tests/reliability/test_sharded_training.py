"""Four processes, whole and sharded, do what one does; what is sent and kept; kills while checkpoints are written.

Run it alone with ``pytest -s -m slow tests/reliability/test_sharded_training.py``.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import multiprocessing

from builders.sharded_updates import CASES, assert_same_updates, in_a_process, tolerance, update
from builders.two_processes import free_port
from sycoca.training.runtime_config import RuntimeConfig

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="needs signals")]

WHOLE = RuntimeConfig(device="cpu")
SHARDED = {
    "full": replace(WHOLE, sharding="full"),
    "hybrid": replace(WHOLE, sharding="hybrid", shard_size=2),
}
IN_FLOAT64 = {name: replace(case, dtype=torch.float64) for name, case in CASES.items() if case.precision == "fp32"}


def launched(work: Callable[..., None], world_size: int, folder: Path) -> list[dict[str, Any]]:
    """Run a function in several processes; return what each has saved in ``rank-N.pt``."""
    multiprocessing.spawn(work, args=(world_size, free_port(), str(folder)), nprocs=world_size)
    return [torch.load(folder / f"rank-{rank}.pt", weights_only=True) for rank in range(world_size)]


def do_all_updates(rank: int, world_size: int, port: int, folder: str) -> None:
    in_a_process(rank, world_size, port)
    configs = SHARDED if world_size == 4 else {"full": SHARDED["full"]}
    results: dict[str, Any] = {}
    for name, case in IN_FLOAT64.items():
        results[f"none {name}"] = update(case, WHOLE)
    for sharding, config in configs.items():
        for name, case in CASES.items():
            results[f"{sharding} {name}"] = update(case, config)
    torch.save(results, Path(folder) / f"rank-{rank}.pt")


@pytest.mark.parametrize("world_size", [2, 4])
def test_updates_are_those_of_one_process(tmp_path: Path, world_size: int):
    ranks = launched(do_all_updates, world_size, tmp_path)
    for name, case in IN_FLOAT64.items():
        alone = update(case, WHOLE)
        for found in ranks:
            assert_same_updates(found[f"none {name}"], alone, rtol=1e-9)
    for sharding in ["full", "hybrid"] if world_size == 4 else ["full"]:
        shards = 2 if sharding == "hybrid" else world_size
        for name, case in CASES.items():
            alone = update(case, WHOLE)
            for found in ranks:
                result = found[f"{sharding} {name}"]
                assert 0.9 < result["own"] * shards / result["all"] < 1.1
                assert_same_updates(result, alone, rtol=tolerance(name))
