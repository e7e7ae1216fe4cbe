import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builders.small_ablations import small_plan
from sycoca.data.samples import SampleSource
from sycoca.data.spec import open_source
from sycoca.experiments.ablation import equal_time
from sycoca.experiments.ablation.equal_time import agreed_steps, equal_steps, seconds_per_step
from sycoca.experiments.ablation.folder import AblationFolder
from sycoca.experiments.ablation.plan import PlannedRun, agree
from sycoca.training.recipes.pretraining.config import PretrainConfig
from sycoca.training.run.assembly import RunParts, assemble


def test_steps_times_seconds_equal_those_of_the_baseline(tmp_path: Path):
    plan = small_plan(tmp_path)
    training = replace(plan.base.training, steps=400)
    plan = replace(plan, base=replace(plan.base, training=training))
    assert equal_steps(plan, {"coca": 0.3, "sycoca": 0.4}) == {"coca": 400, "sycoca": 300}
    assert equal_steps(plan, {"coca": 0.3, "sycoca": 0.1}) == {"coca": 400, "sycoca": 1200}
    assert equal_steps(plan, {"coca": 0.001, "sycoca": 9.0})["sycoca"] == 1


def test_the_schedule_of_a_row_ends_at_its_steps(tmp_path: Path):
    config = small_plan(tmp_path).config(PlannedRun(row="sycoca", seed=5, steps=3), tmp_path / "run")
    assert (config.training.steps, config.seed, config.out) == (3, 5, str(tmp_path / "run"))


def test_all_processes_use_the_steps_that_the_first_has_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    plan = small_plan(tmp_path)
    folder = AblationFolder(tmp_path / "out")
    agree(folder.path, plan)
    measured = iter([{"coca": 0.3, "sycoca": 0.6}])
    monkeypatch.setattr(equal_time, "seconds_per_step", lambda *_: next(measured))
    assert agreed_steps(plan, folder) == agreed_steps(plan, folder) == {"coca": 4, "sycoca": 2}
    assert json.loads(folder.steps.read_text())["processor_seconds_per_step"] == {"coca": 0.3, "sycoca": 0.6}
    folder.steps.write_text('{"steps": {"coca": 4}}')
    with pytest.raises(ValueError, match="does not name the steps of all rows"):
        agreed_steps(plan, folder)


@pytest.mark.parametrize(("caches", "epochs", "expected"), [(True, 2, 5 * 2), (True, 20, 4), (False, 2, 40)])
def test_images_are_read_as_often_as_in_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caches: bool, epochs: int, expected: int
):
    """With images in memory, 5 steps of 4 over 10 of 40 samples are two epochs; a batch has different samples."""
    plan = small_plan(tmp_path)
    data = replace(plan.base.data, train="scenes:?count=40&size=16", cache_images=caches)
    training = replace(plan.base.training, global_batch_size=4, steps=epochs * 10)
    plan = replace(plan, base=replace(plan.base, data=data, training=training))
    seen = []

    def remember(config: PretrainConfig, source: SampleSource, *parts: Any) -> RunParts:
        seen.append([source[index].key for index in range(len(source))])
        return assemble(config, source, *parts)

    monkeypatch.setattr(equal_time, "assemble", remember)
    seconds_per_step(plan, 2)
    whole = open_source(data.train)
    assert seen == 2 * [[whole[index].key for index in range(expected)]]


def test_steps_of_all_rows_are_timed(tmp_path: Path):
    seconds = seconds_per_step(small_plan(tmp_path), 2)
    assert seconds.keys() == {"coca", "sycoca"}
    assert all(0 < one < 5 for one in seconds.values())
