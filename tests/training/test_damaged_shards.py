"""Training on shards with damaged members: to the end, and exactly the damaged ones are named."""

import json
from pathlib import Path

import pytest

from builders.damaged_shards import DAMAGES, write_damaged_set
from sycoca.cli.main import main
from sycoca.plain_data import to_plain, write_yaml
from sycoca.training.config import DataConfig, TrainingConfig
from sycoca.training.engine.tracking import read_metrics


def test_exactly_the_damaged_samples_are_named(make_run_config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    reasons = write_damaged_set(tmp_path / "set", num_shards=3, num_samples=50, number_each=1)
    assert len(reasons) == len(DAMAGES) + 2
    config = make_run_config(
        data=DataConfig(train=f"shards:{tmp_path}/set/*.tar", num_workers=0),
        training=TrainingConfig(steps=8, global_batch_size=20, log_every=8),
    )
    write_yaml(tmp_path / "config.yaml", to_plain(config))
    assert main(["pretrain", "--config", str(tmp_path / "config.yaml")]) == 0
    run = Path(config.out)
    lines = [json.loads(line) for line in (run / "skipped.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {line["name"]: line["reason"] for line in lines} == reasons
    assert len(lines) == len(reasons)
    assert read_metrics(run / "metrics.jsonl")[-1]["skipped_samples"] == len(reasons)
