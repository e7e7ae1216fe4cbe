"""The table of heads is complete: modules, sizes and names are fields that exist, and each is trained by its task."""

from dataclasses import fields, replace

import pytest
import torch

from builders.predictors import SCENES, small_predictor
from sycoca.facts.head_facts import HEADS, HeadName
from sycoca.facts.training_facts import TRAININGS
from sycoca.inference.predictor import Predictor
from sycoca.model.config import SyCoCaConfig
from sycoca.model.sycoca import SyCoCa
from sycoca.weights.config import WeightsConfig
from sycoca.weights.parts import OPTIONAL_PARTS, PART_NAMES

OUTPUTS = {
    "answer_head": lambda predictor: list(predictor.answers([SCENES[0]], [["what is it?"]])),
    "class_head": lambda predictor: predictor.class_probabilities([SCENES[0]]),
}


def with_head(head: HeadName) -> Predictor:
    facts = HEADS[head]
    return small_predictor(**{f"model_{facts.size_field}": 2, facts.names_field: ("cat", "dog")})


def test_every_module_that_is_called_head_has_a_row(config: SyCoCaConfig):
    model = SyCoCa(replace(config, **{facts.size_field: 2 for facts in HEADS.values()}))
    assert {name for name, _ in model.named_children() if name.endswith("_head")} == HEADS.keys()


def test_rows_name_fields_and_trainings_that_exist():
    for facts in HEADS.values():
        assert facts.size_field in {field.name for field in fields(SyCoCaConfig)}
        assert facts.names_field in {field.name for field in fields(WeightsConfig)}
        assert facts.training in TRAININGS


def test_parts_of_models_are_called_as_here():
    for head, facts in HEADS.items():
        assert PART_NAMES[head] == OPTIONAL_PARTS[facts.size_field] == facts.title


@pytest.mark.parametrize("head", HEADS)
def test_a_head_is_built_and_used_where_its_size_is_given(head: HeadName):
    predictor = with_head(head)
    assert {name: names for name, names in predictor.config.head_names.items() if names} == {head: ("cat", "dog")}
    assert getattr(predictor.model, head) is not None
    before = str(OUTPUTS[head](predictor))
    torch.nn.init.normal_(getattr(predictor.model, head).linear.weight)
    assert str(OUTPUTS[head](predictor)) != before
