"""The table of kinds of training is complete, and its rows name losses and metrics that there are."""

from typing import get_args

from sycoca.evaluation.tasks.registry import TASKS
from sycoca.facts.metric_facts import METRICS
from sycoca.facts.objective_facts import OBJECTIVES
from sycoca.facts.training_facts import SHOWN_METRICS, TRAININGS, FinetuneTask
from sycoca.presets.finetune import PRESETS
from sycoca.training.finetune import KINDS


def test_every_kind_has_a_row_and_every_task_of_fine_tuning_is_a_kind():
    assert set(get_args(FinetuneTask)) == TRAININGS.keys() - {"pretraining"} == KINDS.keys() == PRESETS.keys()
    assert set(get_args(FinetuneTask)) <= TASKS.keys(), "what is trained can be evaluated"
    assert {name for facts in TRAININGS.values() for name in facts.losses} == OBJECTIVES.keys()
    assert set(SHOWN_METRICS) <= METRICS.keys()
