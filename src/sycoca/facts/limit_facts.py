"""What a model cannot do, and why: abilities that training has spoiled, parts that it lacks. Imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sycoca.facts.head_facts import HEADS, HeadName
from sycoca.facts.objective_facts import WEIGHT_FIELD_OF_COMPONENT, ComponentName, ObjectiveName
from sycoca.facts.training_facts import TrainingKind

AbilityName = Literal["captions", "similarities"]
"""What pretraining gives a model, and another training may take from it."""

SpoilingReason = Literal["objective_off", "other_training", "averaged"]
"""Why an ability is not what it could be."""

AbsenceReason = Literal["objective_off", "left_behind", "may_be_left_behind", "not_in_source"]
"""Why a model lacks a part."""

PartName = Literal[ComponentName, HeadName]
"""A part that a model may lack."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AbilityFacts:
    """An ability that training may spoil."""

    objective: ObjectiveName
    """The objective that trains it."""

    uses: str
    """What builds on it, as part of a sentence."""

    component: ComponentName | None = None
    """The component without which a model does not have it at all."""


ABILITIES: Mapping[AbilityName, AbilityFacts] = {
    "captions": AbilityFacts(
        objective="captioning",
        uses="captions, their likelihoods, re-ranking and open-ended answers",
        component="text_decoder",
    ),
    "similarities": AbilityFacts(
        objective="contrastive", uses="similarities, retrieval, zero-shot classes and patch scores"
    ),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class SpoilingFacts:
    """A reason why an ability is not what it could be."""

    sentence: str
    """What is said, with {training}, {objective} and {uses}."""

    remedy: str
    """What is said where the weights that have the ability are known, with {weights}."""

    is_usable: bool = False
    """Whether the ability may still be good enough, so that using it needs no warning."""


SPOILED: Mapping[SpoilingReason, SpoilingFacts] = {
    "objective_off": SpoilingFacts(
        sentence="the {objective} objective was off in training: {uses} are meaningless", remedy=""
    ),
    "other_training": SpoilingFacts(
        sentence="{training} changed this model without the {objective} objective: do not rely on {uses}",
        remedy="; use {weights}, from which it started, or the average of both (sycoca average)",
    ),
    "averaged": SpoilingFacts(
        sentence=(
            "one of the averaged models was trained without the {objective} objective: {uses} may be worse than in the"
            " other; evaluate what you need"
        ),
        remedy="",
        is_usable=True,
    ),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class PartFacts:
    """A part that a model may lack."""

    title: str
    """What people call it."""

    field: str
    """The field of ``SyCoCaConfig`` that is None in a model without it."""

    missing: str
    """What is said where nothing is known of the reason."""


def _component(name: ComponentName) -> PartFacts:
    title = name.replace("_", " ")
    return PartFacts(title=title, field=name, missing=f"this model has no {title}")


def _head(name: HeadName) -> PartFacts:
    facts = HEADS[name]
    return PartFacts(title=facts.title, field=facts.size_field, missing=facts.missing)


PARTS: Mapping[PartName, PartFacts] = {
    **{name: _component(name) for name in WEIGHT_FIELD_OF_COMPONENT},
    **{name: _head(name) for name in HEADS},
}
"""All parts that a model may lack."""

NEEDS_CAUSAL_TEXT: Mapping[PartName, bool] = {
    "text_decoder": True,
    "image_decoder": False,
    "answer_head": True,
    "class_head": False,
}
"""Whether a part works on token states that have seen no later token."""

ABSENCES: Mapping[AbsenceReason, str] = {
    "objective_off": "it was trained without the objective that needs one",
    "left_behind": "{training} left it behind; {weights}, from which it started, has one",
    "may_be_left_behind": "{training} keeps none; the weights that it started from may have one",
    "not_in_source": "the model that it was converted from has none; sycoca pretrain --start.weights adds one",
}
"""By reason what is said, with {training} and {weights}."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SpoiledAbility:
    """An ability that training has spoiled."""

    ability: AbilityName
    """The ability."""

    reason: SpoilingReason
    """Why."""

    training: TrainingKind | None = None
    """The training that did it."""

    weights: str | None = None
    """The weights that still have it: a path, or hf:owner/name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AbsentPart:
    """A part that a model lacks."""

    part: PartName
    """The part."""

    reason: AbsenceReason
    """Why."""

    training: TrainingKind | None = None
    """The training that left it behind."""

    weights: str | None = None
    """The weights that have it: a path, or hf:owner/name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelLimits:
    """What is known of a model's limits."""

    spoiled: tuple[SpoiledAbility, ...] = ()
    """Abilities that are not what they could be."""

    absent: tuple[AbsentPart, ...] = ()
    """Parts that it lacks, where there is a reason to tell."""
