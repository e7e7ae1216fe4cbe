"""Pretraining from initial weights: adapt the config, load the tensors."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sycoca.facts.limit_facts import ModelLimits
from sycoca.model.config import SyCoCaConfig
from sycoca.model.sycoca import SyCoCa
from sycoca.outputs.manifest import read_sound_json
from sycoca.plain_data import changed_fields, from_plain, to_plain, write_text
from sycoca.preprocess.config import ImageTransformConfig
from sycoca.training.recipes.pretraining.config import PretrainConfig, resolved_model_config
from sycoca.training.recipes.pretraining.initial_weights_config import InitialWeightsConfig
from sycoca.weights.hub import local_weights
from sycoca.weights.parts import PART_NAMES, LoadedParts, PartsConfig, part_of, read_parts_config
from sycoca.weights.tensors.filling import fill_model


@dataclass(frozen=True, kw_only=True, slots=True)
class AdaptedConfig:
    """A config adapted to its initial weights."""

    config: PretrainConfig
    """The config with the sizes of the weights."""

    replaced: tuple[str, ...]
    """Names of the fields that were changed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InitialWeightsRecord:
    """The tensors that were loaded; kept in the run folder, so that a resumed run does not need the weights."""

    loaded: tuple[str, ...]
    """Names of the tensors that were loaded."""

    left_behind: tuple[str, ...]
    """Titles of the parts of the weights that the run's model does not have."""

    history: tuple[str, ...]
    """The training history of the weights, for the model card."""

    limits: ModelLimits | None = None
    """What the trained model will not be able to do; None in run folders of earlier versions."""

    def save(self, path: Path) -> None:
        """Write the record as JSON."""
        write_text(path, json.dumps(to_plain(self), indent=2) + "\n")

    @classmethod
    def load(cls, path: Path) -> "InitialWeightsRecord":
        """Read what ``save`` wrote; raises ValueError where it is missing or damaged."""
        try:
            return from_plain(cls, read_sound_json(path), where=str(path))
        except ValueError as error:
            raise ValueError(
                f"{error}; a run that started from weights cannot be resumed without it: restore it from a backup"
            ) from error


def with_sizes_of_weights(config: PretrainConfig) -> AdaptedConfig:
    """Return the config with the sizes, options, vocabulary and pixel normalization of its initial weights, if any.

    Raises ValueError where the weights are missing or damaged, and where the preset's other parts do not fit them.
    """
    start = config.start
    if start.weights is None:
        return AdaptedConfig(config=config, replaced=())
    parts = read_parts_config(local_weights(start.weights))
    try:
        started = replace(config, **_changes(config, parts))
    except ValueError as error:
        raise ValueError(f"the parts of preset {config.preset} do not fit {start.weights}: {error}") from error
    if start.image_size is not None:
        image_encoder = replace(started.model.image_encoder, image_size=start.image_size)
        started = replace(started, model=replace(started.model, image_encoder=image_encoder))
    replaced = (
        *changed_fields(_built(config), _built(started)),
        *(f"transforms.{name}" for name in changed_fields(config.transforms, started.transforms)),
    )
    return AdaptedConfig(config=started, replaced=replaced)


def fill_from_weights(model: SyCoCa, parts: LoadedParts) -> InitialWeightsRecord:
    """Load the parts into the model and return a record of it. Raises ValueError where the model has none of them."""
    loaded = fill_model(model, parts.tensors)
    theirs = {name: tensor.numel() for name, tensor in parts.tensors.items()}
    gone = {name: size for name, size in theirs.items() if name not in loaded}
    weights = parts.config.weights
    return InitialWeightsRecord(
        loaded=tuple(sorted(loaded)),
        left_behind=tuple(_listed_parts(gone, theirs)),
        history=() if weights is None else weights.history,
    )


def start_lines(model: SyCoCa, start: InitialWeightsConfig, record: InitialWeightsRecord) -> Iterator[str]:
    """Yield the source of every part of the model, what is frozen, and the learning rate of what was loaded."""
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    loaded = {name: sizes[name] for name in record.loaded}
    new = {name: size for name, size in sizes.items() if name not in loaded}
    clauses = {
        f"from {start.weights}": _listed_parts(loaded, loaded),
        "new": _listed_parts(new, sizes),
        "not used": record.left_behind,
    }
    listed = {name: ", ".join(parts) for name, parts in clauses.items()}
    yield "; ".join(f"{name}: {parts}" for name, parts in listed.items() if parts)
    frozen = {name: size for name, size in loaded.items() if not model.get_parameter(name).requires_grad}
    if frozen:
        total = sum(sizes.values())
        trainable = (
            f"{_readable_count(total - sum(frozen.values()))} of {_readable_count(total)} parameters are trainable"
        )
        yield f"frozen: {', '.join(_listed_parts(frozen, frozen))}; {trainable}"
    if start.lr_ratio != 1:
        yield f"learning rate of the loaded tensors: {start.lr_ratio:g} times that of new ones"


def _changes(config: PretrainConfig, parts: PartsConfig) -> dict[str, Any]:
    """Return the fields of a config that the weights determine."""
    changes: dict[str, Any] = {
        "model": _model_of(config.model, parts),
        "transforms": _transforms_of(config.transforms, parts.transforms),
    }
    if parts.weights is not None:
        vocab_size = parts.weights.model.text_encoder.vocab_size
        changes["tokenizer"] = replace(config.tokenizer, vocab_size=vocab_size)
    return changes


def _model_of(own: SyCoCaConfig, parts: PartsConfig) -> SyCoCaConfig:
    changes: dict[str, Any] = {"image_encoder": parts.image_encoder}
    if parts.embed_dim is not None:
        changes["embed_dim"] = parts.embed_dim
    if parts.weights is not None:
        theirs = parts.weights.model
        changes["text_encoder"] = theirs.text_encoder
        for decoder in ("text_decoder", "image_decoder"):
            if getattr(own, decoder) is not None and getattr(theirs, decoder) is not None:
                changes[decoder] = getattr(theirs, decoder)
    return replace(own, **changes)


def _transforms_of(own: ImageTransformConfig, theirs: ImageTransformConfig) -> ImageTransformConfig:
    """Return the transforms with the weights' mean and standard deviation in place of defaults."""
    default = ImageTransformConfig()
    names = [name for name in ("mean", "std") if getattr(own, name) == getattr(default, name)]
    return replace(own, **{name: getattr(theirs, name) for name in names})


def _built(config: PretrainConfig) -> SyCoCaConfig:
    return resolved_model_config(config, config.model.text_encoder.vocab_size)


def _listed_parts(sizes: Mapping[str, int], all_sizes: Mapping[str, int]) -> Iterator[str]:
    """Yield each complete part with its number of parameters, and the single tensors of incomplete parts."""
    for part, title in PART_NAMES.items():
        own = {name: size for name, size in sizes.items() if part_of(name) == part}
        is_whole = len(own) == sum(part_of(name) == part for name in all_sizes)
        listed = {title: sum(own.values())} if own and is_whole else own
        yield from (name if size == 1 else f"{name} {_readable_count(size)}" for name, size in listed.items())


def grouped(names: Iterable[str]) -> str:
    """Return dotted names as text, grouped by section: "image_encoder (width, depth), embed_dim"."""
    sections: dict[str, list[str]] = {}
    for name in names:
        section, _, rest = name.partition(".")
        sections.setdefault(section, []).extend([rest] if rest else [])
    return ", ".join(f"{section} ({', '.join(rest)})" if rest else section for section, rest in sections.items())


def _readable_count(number: int) -> str:
    return f"{number / 1e6:,.1f} M" if number >= 100_000 else f"{number:,}"
