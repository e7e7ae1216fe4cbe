"""Every fine-tuning with sharded parameters ends, with the weights of one process; run alone with -m slow."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from builders.two_processes import RUN, two_processes
from sycoca.cli.main import main

pytestmark = pytest.mark.slow

LR = 1e-3
OPTIONS = [*RUN[2:], "--training.steps", "4", "--optimizer.peak-lr", str(LR), "--schedule.warmup-steps", "1"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("pretrained") / "run"
    # A learned temperature brings the notice about forgetting, which looks at a parameter in the main process alone.
    assert main([*RUN, "--training.steps", "6", "--schedule.warmup-steps", "1", "--out", str(run)]) == 0
    return run / "weights"


@pytest.mark.parametrize("task", ["retrieval", "captioning", "vqa", "classification"])
def test_two_processes_with_shards_train_as_one(weights: Path, tmp_path: Path, task: str):
    words = ["finetune", task, str(weights), *OPTIONS]
    assert main([*words, "--out", str(tmp_path / "one")]) == 0
    with two_processes([*words, "--runtime.sharding", "full", "--out", str(tmp_path / "two")]) as ranks:
        for rank in ranks:
            code, lines, _ = rank.end(120)
            assert code == 0, lines
    one, two = (load_file(tmp_path / run / "weights" / "model.safetensors") for run in ("one", "two"))
    start = load_file(weights / "model.safetensors")
    assert any(not torch.equal(tensor, start[name]) for name, tensor in one.items() if name in start)
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        # The bias of keys has no gradient but rounding errors, which AdamW scales to full steps.
        atol = 4 * LR if name.endswith("query_key_value.bias") else 1e-4
        torch.testing.assert_close(two[name], tensor, rtol=1e-3, atol=atol, msg=name)
