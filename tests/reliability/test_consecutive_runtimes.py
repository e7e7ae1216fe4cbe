"""Runtime after runtime in the same two processes, as a quickstart has them: each meets the other and ends in peace."""

import os

import pytest
import torch
from torch import multiprocessing

from builders.sharded_updates import in_a_process
from builders.two_processes import free_port
from sycoca.training.engine.runtime import Runtime
from sycoca.training.runtime_config import RuntimeConfig

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="needs several processes")]

RUNTIMES = 60


def many_runtimes(rank: int, port: int) -> None:
    in_a_process(rank, 2, port)
    for _ in range(RUNTIMES):
        with Runtime(RuntimeConfig(device="cpu", rendezvous_seconds=60.0)) as runtime:
            assert runtime.sum_over_ranks({"one": torch.ones(())})["one"] == 2


def test_two_processes_meet_again_and_again():
    multiprocessing.spawn(many_runtimes, args=(free_port(),), nprocs=2)
