"""The tables of limits are complete: abilities, reasons, parts, and sentences that can be filled."""

from string import Formatter
from typing import get_args

from sycoca.facts.head_facts import HeadName
from sycoca.facts.limit_facts import ABILITIES, ABSENCES, PARTS, SPOILED, PartName
from sycoca.facts.objective_facts import OBJECTIVES, ComponentName
from sycoca.weights.parts import OPTIONAL_PARTS


def test_parts_are_those_that_models_may_lack():
    assert set(PARTS) == set(get_args(PartName)) == {*get_args(ComponentName), *get_args(HeadName)}
    assert {facts.field: facts.title for facts in PARTS.values()} == OPTIONAL_PARTS


def test_abilities_are_trained_by_an_objective_with_its_component():
    for facts in ABILITIES.values():
        assert facts.component == OBJECTIVES[facts.objective].component


def test_sentences_can_be_filled():
    texts = [*ABSENCES.values(), *(text for facts in SPOILED.values() for text in (facts.sentence, facts.remedy))]
    names = {name for text in texts for _, name, _, _ in Formatter().parse(text) if name is not None}
    assert names == {"training", "objective", "uses", "weights"}
    assert len(set(ABSENCES.values())) == len(ABSENCES)
    assert len({facts.sentence for facts in SPOILED.values()}) == len(SPOILED)
