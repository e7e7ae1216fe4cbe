"""A pretraining run that measures its start and its memory: python -m builders.measured_start SPEC OUT STEPS.

Prints a JSON object: seconds from the call to the first batch, those of the processor among them, and private MiB of
the process and its loader workers in the last step. Pages of files that are mapped into memory count as private where
no other process maps them.
"""

import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

import torch._dynamo  # the optimizer imports it, which is no part of the start  # noqa: F401

from sycoca.data.loading.loader import TrainingBatches
from sycoca.presets.pretrain import pretrain_preset
from sycoca.records import TrainingBatch
from sycoca.training.pretrain import pretrain

measured: dict[str, object] = {}


def private_mib(pid: int) -> float:
    """Return the private memory of a process."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        fields = [line.split() for line in file]
    return sum(int(one[1]) for one in fields if one[0] in ("Private_Clean:", "Private_Dirty:")) / 1024


def main(spec: str, out: str, steps: int) -> None:
    """Train on a SPEC with two loader workers, and print what was measured."""
    config = pretrain_preset("tiny")
    config = replace(
        config,
        out=out,
        data=replace(config.data, train=spec, validation=None, num_workers=2),
        training=replace(config.training, steps=steps, report=False),
    )
    original = TrainingBatches.from_position

    def watched(batches: TrainingBatches, position: int) -> Iterator[list[TrainingBatch]]:
        for number, batch in enumerate(original(batches, position), start=1):
            measured.setdefault("seconds", time.perf_counter() - started_at)
            measured.setdefault("processor_seconds", time.process_time() - processor_at)
            if number == steps:
                pids = [os.getpid(), *(one.pid for one in multiprocessing.active_children() if one.pid is not None)]
                measured["private_mib"] = [private_mib(pid) for pid in pids]
            yield batch

    TrainingBatches.from_position = watched  # pyright: ignore[reportAttributeAccessIssue]
    started_at, processor_at = time.perf_counter(), time.process_time()
    pretrain(config)
    sys.stdout.write(f"{json.dumps(measured)}\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
