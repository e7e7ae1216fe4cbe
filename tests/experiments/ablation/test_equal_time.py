import json
from dataclasses import replace
from pathlib import Path

import pytest

from builders.small_ablations import small_plan
from sycoca.experiments.ablation import equal_time
from sycoca.experiments.ablation.equal_time import agreed_steps, equal_steps, seconds_per_step
from sycoca.experiments.ablation.folder import AblationFolder
from sycoca.experiments.ablation.plan import PlannedRun, agree


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


def test_steps_of_all_rows_are_timed(tmp_path: Path):
    seconds = seconds_per_step(small_plan(tmp_path), 2)
    assert seconds.keys() == {"coca", "sycoca"}
    assert all(0 < one < 5 for one in seconds.values())
