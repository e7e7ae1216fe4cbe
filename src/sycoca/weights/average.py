"""Interpolation of the weights before and after a fine-tuning (WiSE-FT, Wortsman et al. 2021, arXiv 2109.01903)."""

import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sycoca.facts.head_facts import HEADS
from sycoca.keywords import suggests_keywords
from sycoca.model.config import SyCoCaConfig
from sycoca.model.sycoca import SyCoCa
from sycoca.plain_data import changed_fields
from sycoca.preprocess.tokenizer import Tokenizer
from sycoca.weights.config import TOKENIZER_NAME, WeightsConfig
from sycoca.weights.folder import load_weights
from sycoca.weights.hub import local_weights
from sycoca.weights.limits import limits_of_average
from sycoca.weights.parts import OPTIONAL_PARTS, PART_NAMES, part_of


@dataclass(frozen=True, kw_only=True, slots=True)
class AveragedWeights:
    """A weighted mean of two models, ready to be saved."""

    model: SyCoCa
    """On the CPU, in evaluation mode."""

    tokenizer: Tokenizer
    """The tokenizer of both."""

    config: WeightsConfig
    """The config of the end, with the components that only the start has."""

    summary: tuple[str, ...]
    """What is averaged, and what only one of the two has, a sentence each."""

    def __repr__(self) -> str:
        return f"<AveragedWeights: {self.model.num_parameters:,} parameters, {'; '.join(self.summary)}>"


@suggests_keywords
def average_weights(start: str | Path, end: str | Path, *, alpha: float = 0.5) -> AveragedWeights:
    """Return (1 - alpha) start + alpha end, tensor by tensor, of two weights folders or Hub repositories hf:owner/name.

    It is computed in float64; alpha 0 and 1 give the start's and the end's tensors to the last bit. Components that
    one of the two lacks are copied from the other: a head that the fine-tuning added, a decoder or the bias of the
    sigmoid loss that it dropped. Raises ValueError where alpha is not between 0 and 1, and where architectures,
    tokenizers, heads or pixel normalization differ, with the first difference.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must lie between 0 (the start) and 1 (the end), got {alpha}")
    folders = local_weights(start), local_weights(end)
    before, after = map(load_weights, folders)
    for difference in _differences(before.config, after.config, *map(_plain_tokenizer, folders)):
        raise ValueError(f"{start} and {end} cannot be averaged: {difference}; take the weights that the end came from")
    config = _joined_config(before.config, after.config)
    config = replace(config, limits=limits_of_average(before.config, after.config, config.model, alpha))
    with torch.device("meta"):
        model = SyCoCa(config.model)
    old, new = before.model.state_dict(), after.model.state_dict()
    shared = {name: _interpolated(old[name], new[name], alpha) for name in old.keys() & new.keys()}
    model.load_state_dict(old | new | shared, assign=True)
    summary = (
        f"{1 - alpha:g} of `{start}` and {alpha:g} of `{end}`: {_listed(shared, ())}",
        *(
            f"copied from `{folder}`, the only one that has it: {_listed(alone, shared)}"
            for folder, alone in ((start, old.keys() - shared.keys()), (end, new.keys() - shared.keys()))
            if alone
        ),
    )
    return AveragedWeights(model=model.eval(), tokenizer=after.tokenizer, config=config, summary=summary)


def _interpolated(start: Tensor, end: Tensor, alpha: float) -> Tensor:
    if alpha in (0, 1):
        return end if alpha == 1 else start
    mean = (1 - alpha) * start.double() + alpha * end.double()
    return mean.to(torch.promote_types(start.dtype, end.dtype))


def _differences(start: WeightsConfig, end: WeightsConfig, *tokenizers: Any) -> Iterator[str]:
    """Yield the differences between two models that prevent averaging them."""
    models = _without(start.model, end.model), _without(end.model, start.model)
    for name in changed_fields(*models):
        values = [reduce(getattr, name.split("."), model) for model in models]
        yield "model.{} is {} in the first and {} in the second".format(name, *values)
    if tokenizers[0] != tokenizers[1]:
        yield "their tokenizers differ"
    for head, names in start.head_names.items():
        others = end.head_names[head]
        if None not in (names, others) and names != others:
            yield f"their heads have different {HEADS[head].names_field}"
    if models[0].image_decoder is not None and start.normalizes_patches != end.normalizes_patches:
        yield "only one of their image decoders predicts pixels normalized per patch"
    for name in ("mean", "std"):
        values = [getattr(config.transforms, name) for config in (start, end)]
        if values[0] != values[1]:
            yield "transforms.{} is {} in the first and {} in the second".format(name, *values)


def _without(model: SyCoCaConfig, other: SyCoCaConfig) -> SyCoCaConfig:
    """Return a model's config without the components that the other model lacks."""
    own = replace(model, **{name: None for name in OPTIONAL_PARTS if getattr(other, name) is None})
    return _with_extras(own, lambda has_extra, others: has_extra and others, other)


def _with_extras(model: SyCoCaConfig, has: Callable[[bool, bool], bool], other: SyCoCaConfig) -> SyCoCaConfig:
    """Return a model's config with the tensors that one objective alone trains as ``has`` says of both models."""
    decoder, others = model.image_decoder, other.image_decoder
    if decoder is not None and others is not None:
        decoder = replace(decoder, predicts_features=has(decoder.predicts_features, others.predicts_features))
    return replace(model, image_decoder=decoder, has_logit_bias=has(model.has_logit_bias, other.has_logit_bias))


def _joined_config(start: WeightsConfig, end: WeightsConfig) -> WeightsConfig:
    """Return the end's config, with components that it lacks taken from the start."""
    lacking = [name for name in OPTIONAL_PARTS if getattr(end.model, name) is None]
    joined = replace(end.model, **{name: getattr(start.model, name) for name in lacking})
    changes: dict[str, Any] = {
        "model": _with_extras(joined, lambda has_extra, others: has_extra or others, start.model),
        **{
            HEADS[head].names_field: start.head_names[head] if names is None else names
            for head, names in end.head_names.items()
        },
    }
    if "image_decoder" in lacking:
        changes["normalizes_patches"] = start.normalizes_patches
    if "text_decoder" in lacking:
        changes["captioning_dropped_share"] = start.captioning_dropped_share
    if "num_answers" in lacking:
        changes["answers_exclude_each_other"] = start.answers_exclude_each_other
    return replace(end, **changes)


def _plain_tokenizer(folder: Path) -> Any:
    return json.loads((folder / TOKENIZER_NAME).read_text(encoding="utf-8"))


def _listed(names: Collection[str], others: Collection[str]) -> str:
    """Return the components that tensors belong to; tensors of a component that ``others`` share are named singly."""
    split = {part_of(name) for name in others}
    listed = {name if part_of(name) in split else PART_NAMES[part_of(name)] for name in names}
    order = list(PART_NAMES.values())
    return ", ".join(sorted(listed, key=lambda one: (order.index(one) if one in order else len(order), one)))
