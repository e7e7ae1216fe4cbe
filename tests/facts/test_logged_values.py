"""Tiny runs of all kinds: what they log is known, their losses and metrics are their own, their reports show them."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from builders.predictors import save_small_weights
from sycoca.facts.metric_facts import METRICS, TRAINING_VALUES, VALIDATION, metric_facts
from sycoca.facts.objective_facts import MASKED_CAPTIONING, OBJECTIVES, ObjectiveName
from sycoca.facts.training_facts import TRAININGS, TrainingKind
from sycoca.objectives.config import ObjectivesConfig
from sycoca.presets.finetune import captioning, classification, retrieval, vqa
from sycoca.presets.pretrain import tiny
from sycoca.reports.curves import curves_of, draw_charts
from sycoca.training.config import DataConfig, RuntimeConfig, TrainingConfig
from sycoca.training.engine.tracking import read_metrics
from sycoca.training.finetune import finetune
from sycoca.training.pretrain import pretrain
from sycoca.training.run_folder import RunFolder

SHARED = {
    "data": DataConfig(train="scenes:?count=8&size=32", validation="scenes:?count=8&size=32"),
    "training": TrainingConfig(steps=2, global_batch_size=4, log_every=1, evaluate_every=1, tensorboard=False),
    "runtime": RuntimeConfig(device="cpu"),
}

WEIGHT_FIELDS = [facts.weight_field for facts in OBJECTIVES.values() if facts.weight_field is not None]

ONLY_ONE_OF = {"vqa_accuracy", "answer_accuracy"}
"""Data has annotators or it has not."""


@dataclass(frozen=True)
class Run:
    lines: list[dict[str, float]]
    html: str


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[TrainingKind, Run]:
    folder = tmp_path_factory.mktemp("runs")
    weights, train = str(save_small_weights(folder / "start")), SHARED["data"].train
    # Objectives that are off by default are logged, too.
    objectives = ObjectivesConfig(**dict.fromkeys(WEIGHT_FIELDS, 1.0))
    without_teacher = replace(objectives, masked_feature_weight=0.0)
    configs = {
        "retrieval": replace(retrieval(weights, train), objectives=without_teacher),
        "captioning": replace(captioning(weights, train), objectives=without_teacher),
        "vqa": vqa(weights, train),
        "classification": classification(weights, train),
    }
    model = replace(tiny().model, image_encoder=replace(tiny().model.image_encoder, image_size=32))
    taught = {**SHARED, "training": replace(SHARED["training"], average_decay=0.9)}
    pretraining = replace(tiny(), out=str(folder / "pretraining"), model=model, objectives=objectives, **taught)
    data = replace(SHARED["data"], validation="scenes:?level=easy&count=8&size=32&distractors=1")
    pretraining = replace(pretraining, data=data)
    paths = {"pretraining": pretrain(pretraining)}
    for kind, config in configs.items():
        paths[kind] = finetune(replace(config, out=str(folder / kind), **SHARED))
    return {kind: run_of(path) for kind, path in paths.items()}


def run_of(path: Path) -> Run:
    folder = RunFolder(path)
    return Run(lines=read_metrics(folder.metrics), html=folder.report.read_text(encoding="utf-8"))


def test_every_logged_value_has_a_row_and_every_row_is_logged(runs: dict[TrainingKind, Run]):
    logged = {key for run in runs.values() for line in run.lines for key in line} - {"step"}
    assert sorted(key for key in logged if metric_facts(key) is None) == []
    of_the_quickstart = {"training_seconds", "fine_tuning_seconds"}
    assert TRAINING_VALUES.keys() - {key.removeprefix(VALIDATION) for key in logged} == of_the_quickstart


@pytest.mark.parametrize("kind", TRAININGS)
def test_losses_and_metrics_of_a_kind_are_those_that_it_logs(runs: dict[TrainingKind, Run], kind: TrainingKind):
    facts, last = TRAININGS[kind], runs[kind].lines[-1]
    assert tuple(name for name in OBJECTIVES if name in last) == facts.losses
    assert tuple(name for name in OBJECTIVES if f"{VALIDATION}{name}" in last) == facts.losses
    assert {key for key in facts.metrics if f"{VALIDATION}{key}" not in last} <= ONLY_ONE_OF
    assert any(f"{VALIDATION}{key}" in last for key in facts.metrics)


def loss_charts(name: ObjectiveName, lines: list[dict[str, float]]) -> list[tuple[str, list[str]]]:
    title = OBJECTIVES[name].title
    if name != "captioning" or f"{VALIDATION}{MASKED_CAPTIONING}" not in lines[-1]:
        return [(title, ["training", "held out"])]
    masked = f"{title}, masked as in training"
    return [(masked, ["training", "held out"]), (f"{title}, all patches visible", ["held out"])]


@pytest.mark.parametrize("kind", TRAININGS)
def test_the_report_shows_curves_of_the_kinds_own_losses_and_metrics(runs: dict[TrainingKind, Run], kind: TrainingKind):
    run, facts = runs[kind], TRAININGS[kind]
    charts = {chart.title.lower(): chart for chart in draw_charts(run.lines, curves_of(kind, run.lines))}
    shown = [chart for name in facts.losses for chart in loss_charts(name, run.lines)]
    for title, kinds in shown:
        assert [series.label for series in charts[title.lower()].series] == kinds
    measured = [METRICS[key].title for key in facts.metrics if f"{VALIDATION}{key}" in run.lines[-1]]
    for title in (*(title for title, _ in shown), *measured):
        assert f"<b>{title[0].upper()}{title[1:]}</b>" in run.html
    for title in (*(OBJECTIVES[name].title for name in facts.losses), *measured):
        assert f'<div class="label">{title}</div>' in run.html
