"""What four processes send in a step, and keep after it, is what the formulas of docs/scaling.md say."""

import json
import multiprocessing
from pathlib import Path

import pytest

from builders.benchmark_scripts import benchmark_script
from builders.counted_communication import BATCH, SHARDINGS, count_steps
from builders.two_processes import MODEL, free_port
from sycoca.model.sycoca import SyCoCa

pytestmark = pytest.mark.slow

scaling = benchmark_script("scaling")

NUM_PROCESSES = 4
GROUP_SIZES = {"none": 1, "full": 4, "hybrid": 2}


@pytest.fixture(scope="module")
def counts(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, int]]]:
    """Return what each process has counted, by sharding."""
    folder = tmp_path_factory.mktemp("counts")
    context = multiprocessing.get_context("spawn")
    arguments = (NUM_PROCESSES, free_port(), str(folder))
    processes = [context.Process(target=count_steps, args=(rank, *arguments)) for rank in range(NUM_PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [json.loads((Path(folder) / f"{rank}.json").read_text()) for rank in range(NUM_PROCESSES)]


def test_every_sharding_is_counted():
    assert {config.sharding for config in SHARDINGS.values()} == GROUP_SIZES.keys()


@pytest.mark.parametrize("name", SHARDINGS)
def test_formulas_give_what_four_processes_send_and_keep(counts: list[dict[str, dict[str, int]]], name: str):
    model = SyCoCa(MODEL)
    step = scaling.Step(
        world_size=NUM_PROCESSES,
        shard_size=GROUP_SIZES[name],
        num_parameters=model.num_parameters,
        num_gathered=scaling.gathered_parameters(model),
        global_batch_size=BATCH,
        embed_dim=MODEL.embed_dim,
    )
    counters_of_adamw = 4 * len(list(model.parameters()))
    # Shards are padded, and the norm of their gradients needs a sum of its own.
    relative, absolute = (0, 0) if name == "none" else (0.01, 16)
    print(f"\n{name}: computed {step.contributed} and {step.state_bytes} of state, process 0 counted {counts[0][name]}")
    for own in (count[name] for count in counts):
        state = own.pop("state") - counters_of_adamw
        assert state == pytest.approx(step.state_bytes, rel=relative, abs=0)
        assert own == pytest.approx(step.contributed, rel=relative, abs=absolute)
