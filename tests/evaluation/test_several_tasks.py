"""evaluate_all from Python; the command has tests of its own."""

import logging
from pathlib import Path

import pytest

import sycoca
from builders.predictors import save_small_weights
from sycoca.evaluation.evaluate_all import evaluate_task
from sycoca.evaluation.report import Report
from sycoca.evaluation.tasks import registry
from sycoca.evaluation.tasks.registry import TASKS, task_class
from sycoca.evaluation.tasks.task import EvaluationTask
from sycoca.inference.load import load
from sycoca.inference.model_options import ModelOptions

SCENES = "scenes:?split=test&count=5&size=32"
SECTIONS = {"retrieval": {"data": SCENES}, "few": {"task": "retrieval", "data": SCENES, "limit": 3, "re_rank": 2}}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small_weights(tmp_path_factory.mktemp("model") / "weights")


def test_a_mapping_of_sections_gives_reports_and_no_files(weights: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "sycoca")
    reports = sycoca.evaluate_all(weights, SECTIONS)
    assert {name: report.counts["images"] for name, report in reports.items()} == {"retrieval": 5, "few": 3}
    assert caplog.messages == ["retrieval (1 of 2)", "few (2 of 2)"]
    few = evaluate_task(weights, task_class("retrieval")(data=SCENES, limit=3, re_rank=2))  # pyright: ignore
    assert (few.metrics, few.items) == (reports["few"].metrics, reports["few"].items)


def test_a_loaded_model_is_taken_as_it_is(weights: Path, tmp_path: Path):
    predictor = load(weights, device="cpu")
    reports = sycoca.evaluate_all(predictor, SECTIONS, out=tmp_path / "out", model=ModelOptions(batch_size=2))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["few.json", "retrieval.json", "summary.json"]
    assert Report.load(tmp_path / "out" / "few.json").metrics == reports["few"].metrics
    with pytest.raises(ValueError, match="tasks: few: device and precision need weights"):
        sycoca.evaluate_all(predictor, {"few": {**SECTIONS["few"], "precision": "bf16"}})


def test_the_summary_is_never_that_of_other_reports(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    out = tmp_path / "out"
    sycoca.evaluate_all(weights, SECTIONS, out=out)
    save = Report.save

    def stopped(self: Report, path: Path) -> None:
        if path.stem == "few":
            raise KeyboardInterrupt
        save(self, path)

    monkeypatch.setattr(Report, "save", stopped)
    with pytest.raises(KeyboardInterrupt):
        sycoca.evaluate_all(weights, SECTIONS, out=out, overwrite=True)
    assert sorted(path.name for path in out.iterdir()) == ["few.json", "retrieval.json"]


def test_all_data_is_opened_before_any_model_is_loaded(tmp_path: Path):
    sections = {"retrieval": {"data": SCENES}, "few": {"task": "retrieval", "data": "missing.jsonl"}}
    with pytest.raises(ValueError, match=r"few: .*missing\.jsonl"):
        sycoca.evaluate_all(tmp_path / "no weights", sections)


def test_options_of_the_model_are_a_group_or_stand_alone(weights: Path):
    together = {"retrieval": {"data": SCENES, "model": {"batch_size": 2}}}
    alone = {"retrieval": {"data": SCENES, "batch_size": 2}}
    assert sycoca.evaluate_all(weights, together).keys() == sycoca.evaluate_all(weights, alone).keys()
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        sycoca.evaluate_all(weights, {"retrieval": {"data": SCENES, "batch_size": 0}})


def test_every_module_of_a_task_has_a_name():
    modules = {path.stem for path in Path(registry.__file__).parent.glob("*.py")}
    assert modules - {"__init__", "inputs", "registry", "task"} == {name.replace("-", "_") for name in TASKS}


@pytest.mark.parametrize("name", TASKS)
def test_every_task_has_its_options(name: str):
    assert issubclass(task_class(name), EvaluationTask)
