"""Four processes, whole and sharded, do what one does; what is sent and kept; kills while checkpoints are written.

Run it alone with ``pytest -s -m slow tests/reliability/test_sharded_training.py``.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import multiprocessing, nn

from builders.sent_bytes import CollectiveBytes, kept_bytes
from builders.sharded_updates import (
    CASES,
    Case,
    assembled,
    assert_same_updates,
    in_a_process,
    micro_batches_of,
    tolerance,
    update,
)
from builders.two_processes import RUN, Rank, free_port
from sycoca.model.sycoca import SyCoCa
from sycoca.training.engine.checkpoints import sharded_save
from sycoca.training.engine.checkpoints.checkpoint import TrainingState, load_checkpoint, start_sharded_save
from sycoca.training.engine.checkpoints.shard_files import write_shards
from sycoca.training.engine.checkpoints.soundness import damage_of
from sycoca.training.engine.checkpoints.training_tensors import training_tensors
from sycoca.training.engine.distributed.ending import LOST_CODE
from sycoca.training.engine.distributed.shards import whole
from sycoca.training.engine.optimization.weight_average import WeightAverage
from sycoca.training.runtime_config import RuntimeConfig

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="needs signals")]

WHOLE = RuntimeConfig(device="cpu")
SHARDED = {
    "full": replace(WHOLE, sharding="full"),
    "hybrid": replace(WHOLE, sharding="hybrid", shard_size=2),
}
STEPS = ["--training.steps", "25"]

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


def measure(rank: int, world_size: int, port: int, folder: str) -> None:
    """Save what a step of each sharding gathers, reduces and keeps, and the bytes of the model's parts."""
    in_a_process(rank, world_size, port)
    results: dict[str, Any] = {}
    for sharding, config in {"none": WHOLE, **SHARDED}.items():
        for num_parts in (1, 2):
            case = Case(num_parts=num_parts)
            with assembled(case, config) as updater, CollectiveBytes() as collectives:
                updater.update(micro_batches_of(updater.runtime, case), lr=1e-3)
                results[f"{sharding} {num_parts}"] = {**collectives.counted, **kept_bytes(updater)}
                results["model"] = _bytes_of_parts(updater.task.model)
    torch.save(results, Path(folder) / f"rank-{rank}.pt")


def _bytes_of_parts(model: SyCoCa) -> dict[str, int]:
    def size(module: nn.Module, text: str = "") -> int:
        return sum(4 * one.numel() for name, one in module.named_parameters() if text in name)

    return {
        "all": size(model),
        "blocks": size(model, "blocks."),
        "image blocks": size(model.image_encoder, "blocks."),
        "text blocks": size(model.text_encoder, "blocks."),
    }


@pytest.mark.parametrize("num_parts", [1, 2])
def test_bytes_that_are_kept_and_sent_follow_the_formula(measured: list[dict[str, Any]], num_parts: int):
    sizes = measured[0]["model"]
    print(f"\n{num_parts} micro-batches; bytes of the model's parts: {sizes}")
    # Blocks are gathered for the forward and the backward pass; TG-MIM encodes images once more.
    gathered = sizes["all"] + sizes["blocks"] + 2 * sizes["image blocks"]
    # Gradient caching embeds each micro-batch once more, without a backward pass.
    cached = (sizes["image blocks"] + sizes["text blocks"]) if num_parts > 1 else 0
    expected = {
        "none": {"allgather": 0, "reduce_scatter": 0, "allreduce": sizes["all"], "shards": 1},
        "full": {"allgather": num_parts * (gathered + cached), "allreduce": 0, "shards": 4},
        "hybrid": {"allgather": num_parts * (gathered + cached), "allreduce": sizes["all"] / 2, "shards": 2},
    }
    for sharding, sums in expected.items():
        for result in measured:
            found = result[f"{sharding} {num_parts}"]
            print(sharding, found)
            for name in ("allgather", "reduce_scatter", "allreduce"):
                share = sums.get(name, num_parts * sizes["all"])
                assert found.get(name, 0) == pytest.approx(share, rel=0.02, abs=2000), (sharding, name)
            for name, factor in {"parameters": 1, "gradients": 1, "optimizer": 2}.items():
                assert found[name] == pytest.approx(factor * sizes["all"] / sums["shards"], rel=0.02), (sharding, name)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return launched(measure, 4, tmp_path_factory.mktemp("measured"))


def save_and_die(rank: int, world_size: int, port: int, folder: str) -> None:
    """Save two checkpoints under each sharding; all processes but the first die while they write the second."""
    in_a_process(rank, world_size, port)
    for sharding, config in SHARDED.items():
        with assembled(Case(), config) as updater:
            model, average = updater.task.model, WeightAverage(updater.task.model, 0.9)
            for step in (1, 2):
                updater.update(micro_batches_of(updater.runtime, Case()), lr=1e-3)
                average.move(0.5)
                tensors = training_tensors(model, updater.optimizer, average, has_base=False)
                kept = {
                    f"{part}/{name}": whole(one).clone() for part, own in tensors.items() for name, one in own.items()
                }
                if step == 2:
                    sharded_save.write_shards = fail
                state = TrainingState(step=step, samples_seen=8 * step)
                path = Path(folder) / sharding
                save = start_sharded_save(path, state, tensors, updater.runtime, copies={}, check=lambda: None)
                assert save is not None
                # Training goes on: what is written must be what was there.
                updater.update(micro_batches_of(updater.runtime, Case()), lr=1e-1)
                if step == 1:
                    save.wait()
                    torch.save(kept, Path(folder) / f"{sharding}-{rank}.pt")
                elif rank > 0:
                    with pytest.raises(OSError, match="disk"):
                        save.wait()
                sharded_save.write_shards = write_shards
    torch.save({}, Path(folder) / f"rank-{rank}.pt")


def fail(*_: object) -> None:
    raise OSError("no disk")


def load_again(rank: int, world_size: int, port: int, folder: str) -> None:
    """Load the checkpoints of four processes and save their whole tensors."""
    in_a_process(rank, world_size, port)
    results = {sharding: loaded(Path(folder) / sharding, SHARDED["full"]) for sharding in SHARDED}
    torch.save(results, Path(folder) / f"rank-{rank}.pt")


def loaded(folder: Path, config: RuntimeConfig) -> dict[str, torch.Tensor]:
    with assembled(Case(), config) as updater:
        updater.update(micro_batches_of(updater.runtime, Case()), lr=1e-2)  # so that there is something to replace
        average = WeightAverage(updater.task.model, 0.9)
        state = load_checkpoint(folder / "step-00000001", updater.task.model, updater.optimizer, average)
        assert state == TrainingState(step=1, samples_seen=8)
        tensors = training_tensors(updater.task.model, updater.optimizer, average, has_base=False)
        return {f"{part}/{name}": whole(one) for part, own in tensors.items() for name, one in own.items()}


def test_checkpoints_of_four_processes_are_loaded_by_one_and_two(tmp_path: Path):
    launched(save_and_die, 4, tmp_path)
    by_two = launched(load_again, 2, tmp_path)
    for sharding in SHARDED:
        names = [path.name for path in (tmp_path / sharding).iterdir() if not path.name.startswith(".")]
        assert names == ["step-00000001"]
        path = tmp_path / sharding / "step-00000001"
        assert damage_of(path, 1) is None
        check_formats(path)
        saved = torch.load(tmp_path / f"{sharding}-0.pt", weights_only=True)
        assert any(name.startswith("optimizer/exp_avg_sq/") for name in saved)
        for found in [loaded(tmp_path / sharding, WHOLE), *(result[sharding] for result in by_two)]:
            torch.testing.assert_close(found, saved, rtol=0, atol=0)


def check_formats(checkpoint: Path) -> None:
    """Assert that every file is JSON, YAML or safetensors, and that no pickle is among them."""
    for path in checkpoint.iterdir():
        match path.suffix:
            case ".json":
                json.loads(path.read_bytes())
            case ".yaml":
                path.read_text("utf-8")
            case _:
                with safe_open(path, framework="pt") as file:
                    assert file.keys()


SLOW_WRITES = """
import time
from sycoca.training.engine.checkpoints import sharded_save
real = sharded_save.write_shards
def slow(*args):
    real(*args)
    time.sleep(2.0)
sharded_save.write_shards = slow
"""


def run_of(num_processes: int, words: list[str], first: str = "") -> list[Rank]:
    port = free_port()
    return [Rank(rank, port, words, first, num_processes) for rank in range(num_processes)]


def ended(ranks: list[Rank]) -> list[int]:
    codes = []
    for rank in ranks:
        code, lines, _ = rank.end(300)
        codes.append(code)
        print(code, lines[-1:])
    return codes


def to_the_end(num_processes: int, words: list[str]) -> None:
    assert ended(run_of(num_processes, words)) == [0] * num_processes


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    to_the_end(1, [*RUN, *STEPS, "--out", str(run)])
    return load_file(run / "weights" / "model.safetensors")


@pytest.mark.parametrize(
    ("sharding", "killed", "resumed_by"), [("full", 0, 1), ("full", 3, 2), ("hybrid", 2, 4), ("hybrid", 1, 1)]
)
def test_a_kill_while_shards_are_written_loses_that_checkpoint_alone(
    tmp_path: Path, undisturbed: dict[str, torch.Tensor], sharding: str, killed: int, resumed_by: int
):
    run = tmp_path / "run"
    size = ["--runtime.shard-size", "2"] if sharding == "hybrid" else []
    ranks = run_of(4, [*RUN, *STEPS, "--out", str(run), "--runtime.sharding", sharding, *size], SLOW_WRITES)
    try:
        written, reached = _wait_until_written(run, ranks[0])
        ranks[killed].send(signal.SIGKILL)
        codes = ended(ranks)
    finally:
        for rank in ranks:
            rank.process.kill()
    assert [code for rank, code in enumerate(codes) if rank != killed] == [LOST_CODE] * 3
    named = sorted(path.name for path in (run / "checkpoints").iterdir() if not path.name.startswith("."))
    print(f"{sharding}: rank {killed} killed at step {reached}, while step {written} was written; there are {named}")
    assert named
    assert int(named[-1].removeprefix("step-")) < written < reached
    more = ["--runtime.sharding", "none", "--runtime.shard-size", "None"] if resumed_by == 1 else []
    to_the_end(resumed_by, ["pretrain", "--resume", str(run), *more])
    assert not list((run / "checkpoints").glob(".*"))
    weights = load_file(run / "weights" / "model.safetensors")
    torch.testing.assert_close(weights, undisturbed, rtol=1e-3, atol=1e-5)


def _wait_until_written(run: Path, rank: Rank) -> tuple[int, int]:
    """Wait until a checkpoint is written beside a finished one, and a later step has been logged; return both steps."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        assert rank.process.poll() is None, rank.process.communicate()
        unfinished = [*(run / "checkpoints").glob(".step-*")] if (run / "checkpoints").exists() else []
        finished = [*(run / "checkpoints").glob("step-*")] if unfinished else []
        if unfinished and finished:
            step = int(unfinished[0].name.split("-")[1].split(".")[0])
            reached = len((run / "metrics.jsonl").read_bytes().splitlines())
            if reached > step:
                return step, reached
        time.sleep(0.02)
    raise AssertionError("no checkpoint was written in time")


@pytest.mark.parametrize("sharding", ["none", "hybrid"])
def test_two_launchers_that_meet_over_loopback(tmp_path: Path, undisturbed: dict[str, torch.Tensor], sharding: str):
    """Each stands for a host with two processes, over which ``hybrid`` shards without being told their number."""
    run = tmp_path / "run"
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "2"]
    meeting = ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{free_port()}", "--rdzv-id", "sycoca"]
    words = [*RUN, *STEPS, "--out", str(run), "--runtime.sharding", sharding]
    command = [*launcher, *meeting, "--local-addr", "127.0.0.1", "-m", "sycoca", *words]
    hosts = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for _ in range(2)]
    try:
        for host in hosts:
            _, error = host.communicate(timeout=300)
            assert host.returncode == 0, error.decode()
    finally:
        for host in hosts:
            host.kill()
            host.communicate()
    state = json.loads((run / "checkpoints" / "step-00000025" / "state.json").read_text("utf-8"))
    num_writers = {"none": 0, "hybrid": 2}[sharding]
    assert len(state.get("shards", [])) == num_writers
    torch.testing.assert_close(load_file(run / "weights" / "model.safetensors"), undisturbed, rtol=1e-3, atol=1e-5)


def update_compiled(rank: int, world_size: int, port: int, folder: str) -> None:
    in_a_process(rank, world_size, port)
    torch.compile = partial(torch.compile, backend="eager")
    found = update(CASES["gradient caching"], replace(SHARDED["full"], compile=True))
    torch.save(found, Path(folder) / f"rank-{rank}.pt")


def test_blocks_are_compiled_one_by_one(tmp_path: Path):
    alone = update(CASES["gradient caching"], WHOLE)
    for found in launched(update_compiled, 2, tmp_path):
        assert_same_updates(found, alone, rtol=1e-5)
