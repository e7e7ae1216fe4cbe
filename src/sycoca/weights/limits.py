"""The limits of weights: how they follow from what was done, and what is said of them. Imports no torch."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from sycoca.facts.head_facts import HEADS, HeadName
from sycoca.facts.limit_facts import (
    ABILITIES,
    ABSENCES,
    NEEDS_CAUSAL_TEXT,
    PARTS,
    SPOILED,
    AbilityName,
    AbsentPart,
    ModelLimits,
    PartName,
    SpoiledAbility,
)
from sycoca.facts.objective_facts import WEIGHT_FIELD_OF_COMPONENT, ObjectiveName
from sycoca.facts.training_facts import TRAININGS, TrainingKind
from sycoca.model.config import SyCoCaConfig
from sycoca.weights.config import WeightsConfig


def has_part(model: SyCoCaConfig, part: PartName) -> bool:
    """Return whether a model has a part."""
    return getattr(model, PARTS[part].field) is not None


def why_missing(config: WeightsConfig, part: PartName) -> str:
    """Return the message about a part that a model lacks: what it is, why, and which weights have it."""
    text = config.model.text_encoder
    if NEEDS_CAUSAL_TEXT[part] and not text.form.is_causal:
        return (
            f"this model has no {PARTS[part].title} and cannot have one, since tokens of its text encoder attend to"
            f" later ones (pooling {text.pooling})"
        )
    known = next((one for one in limits_of(config).absent if one.part == part), None)
    if known is None:
        return PARTS[part].missing
    return f"this model has no {PARTS[part].title}: {_filled(ABSENCES[known.reason], known)}"


def cautions(config: WeightsConfig, *abilities: AbilityName) -> tuple[str, ...]:
    """Return why results that build on these abilities cannot be relied on; nothing where they can."""
    relied_on = (one for one in _spoiled(config, {}) if one.ability in abilities)
    return tuple(_sentence(one) for one in relied_on if not SPOILED[one.reason].is_usable)


def guidance_cautions(config: WeightsConfig) -> tuple[str, ...]:
    """Return why captions with a guidance scale cannot be relied on; nothing where they can."""
    if config.captioning_dropped_share > 0:
        return ()
    return (
        "guidance compares captions with and without their image, and nothing says that this model has learned captions"
        " without images: train with --objectives.captioning-dropped-share 0.1, or leave guidance_scale at 1",
    )


def limit_lines(config: WeightsConfig, objectives: Mapping[ObjectiveName, float]) -> Iterator[str]:
    """Yield sentences about abilities that a user may expect of such a model and that it is not good at."""
    for one in _spoiled(config, objectives):
        sentence = _sentence(one)
        yield f"{sentence[0].upper()}{sentence[1:]}."


def limits_of(config: WeightsConfig, objectives: Mapping[ObjectiveName, float] | None = None) -> ModelLimits:
    """Return what is known of a model's limits.

    Folders of earlier versions do not say them: they follow from the heads, the history, and the ``objectives`` where
    these are known.
    """
    if config.limits is not None:
        return config.limits
    heads: list[HeadName] = [head for head, names in config.head_names.items() if names is not None]
    training = HEADS[heads[0]].training if heads else None
    spoiled: tuple[SpoiledAbility, ...] = ()
    if training is not None:
        weights = _base_in(config.history)
        spoiled = tuple(
            SpoiledAbility(ability=ability, reason="other_training", training=training, weights=weights)
            for ability in ABILITIES
        )
    elif objectives and objectives.get("contrastive", 1.0) == 0:
        spoiled = (SpoiledAbility(ability="similarities", reason="objective_off"),)
    return ModelLimits(spoiled=spoiled, absent=tuple(_absent_by_history(config, training)))


def limits_after_training(
    before: WeightsConfig | None,
    model: SyCoCaConfig,
    objectives: Mapping[ObjectiveName, float],
    *,
    training: TrainingKind,
    weights: str | None,
    changes_encoders: bool = True,
) -> ModelLimits:
    """Return the limits of a model that was trained with these objectives.

    ``before`` and ``weights`` are the config and the name of the initial weights, None from scratch;
    ``changes_encoders``: whether any parameter of the encoders was trained.
    """
    spoiled: list[SpoiledAbility] = []
    for ability, facts in ABILITIES.items():
        if objectives.get(facts.objective, 0.0) != 0:
            continue
        old = () if before is None else tuple(own for own in limits_of(before).spoiled if own.ability == ability)
        if before is None:
            is_there = facts.component is None or has_part(model, facts.component)
            spoiled += [SpoiledAbility(ability=ability, reason="objective_off")] if is_there else []
        elif old or not changes_encoders:
            spoiled += old
        else:
            one = SpoiledAbility(ability=ability, reason="other_training", training=training, weights=weights)
            spoiled.append(one)
    absent = (_absent_after(part, before, training, weights) for part in PARTS if not has_part(model, part))
    return ModelLimits(spoiled=tuple(spoiled), absent=tuple(one for one in absent if one is not None))


def limits_of_converted(model: SyCoCaConfig) -> ModelLimits:
    """Return the limits of a model that another project has trained."""
    missing: list[PartName] = [part for part in WEIGHT_FIELD_OF_COMPONENT if not has_part(model, part)]
    return ModelLimits(absent=tuple(AbsentPart(part=part, reason="not_in_source") for part in missing))


def limits_of_average(start: WeightsConfig, end: WeightsConfig, model: SyCoCaConfig, alpha: float) -> ModelLimits:
    """Return the limits of the mean (1 - alpha) start + alpha end, which has the parts of both."""
    old, new = limits_of(start), limits_of(end)
    absent = {one.part: one for one in (*old.absent, *new.absent) if not has_part(model, one.part)}
    if alpha in (0, 1):
        return ModelLimits(spoiled=(old if alpha == 0 else new).spoiled, absent=tuple(absent.values()))
    before, after = ({one.ability: one for one in limits.spoiled} for limits in (old, new))
    spoiled = (
        one if ability in before and ability in after else replace(one, reason="averaged")
        for ability, one in (before | after).items()
    )
    return ModelLimits(spoiled=tuple(spoiled), absent=tuple(absent.values()))


def _spoiled(config: WeightsConfig, objectives: Mapping[ObjectiveName, float]) -> Iterator[SpoiledAbility]:
    """Yield the spoiled abilities that the model has at all."""
    for one in limits_of(config, objectives).spoiled:
        component = ABILITIES[one.ability].component
        if component is None or has_part(config.model, component):
            yield one


def _absent_after(
    part: PartName, before: WeightsConfig | None, training: TrainingKind, weights: str | None
) -> AbsentPart | None:
    if before is None:
        return AbsentPart(part=part, reason="objective_off") if part in WEIGHT_FIELD_OF_COMPONENT else None
    if has_part(before.model, part):
        return AbsentPart(part=part, reason="left_behind", training=training, weights=weights)
    return next((one for one in limits_of(before).absent if one.part == part), None)


def _absent_by_history(config: WeightsConfig, training: TrainingKind | None) -> Iterator[AbsentPart]:
    """Yield the decoders that a folder of an earlier version lacks, with the probable reason."""
    is_converted = bool(config.history) and config.history[0].startswith("Converted from ")
    for part in WEIGHT_FIELD_OF_COMPONENT:
        if has_part(config.model, part):
            continue
        if training is not None:
            yield AbsentPart(part=part, reason="may_be_left_behind", training=training)
        else:
            yield AbsentPart(part=part, reason="not_in_source" if is_converted else "objective_off")


def _base_in(history: tuple[str, ...]) -> str | None:
    """Return the initial weights that the last sentence of a history names."""
    found = re.search(r"from `([^`]+)`", history[-1]) if history else None
    return None if found is None else found[1]


def _sentence(one: SpoiledAbility) -> str:
    facts, ability = SPOILED[one.reason], ABILITIES[one.ability]
    sentence = facts.sentence + (facts.remedy if one.weights is not None else "")
    return _filled(sentence, one, objective=ability.objective, uses=ability.uses)


def _filled(text: str, one: SpoiledAbility | AbsentPart, **words: str) -> str:
    training = "its training" if one.training is None else TRAININGS[one.training].title
    return text.format(training=training, weights=one.weights, **words)
