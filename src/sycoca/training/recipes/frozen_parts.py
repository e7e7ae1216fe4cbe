"""Freezing of parts of a model whose tensors were loaded."""

from collections.abc import Collection

from sycoca.facts.limit_facts import PartName
from sycoca.facts.objective_facts import WEIGHT_FIELD_OF_COMPONENT
from sycoca.model.sycoca import SyCoCa
from sycoca.objectives.config import ObjectivesConfig
from sycoca.training.recipes.frozen_parts_config import FreezablePart
from sycoca.weights.config import WeightsConfig
from sycoca.weights.limits import why_missing
from sycoca.weights.parts import part_of


def freeze(
    model: SyCoCa,
    frozen: Collection[FreezablePart],
    loaded: Collection[str],
    weights: str | None,
    *,
    setting: str,
    before: WeightsConfig | None = None,
) -> None:
    """Freeze the loaded tensors of the ``frozen`` parts, which ``setting`` names.

    ``loaded`` are the names of the tensors that came from ``weights``, ``before`` is the config of these, where it is
    known. Raises ValueError where no tensor of a part was loaded, and where no trainable parameter is left.
    """
    for part in frozen:
        if not any(part_of(name) == part for name in loaded):
            raise ValueError(
                f"{setting} names {part}, but {weights} has no tensor of it{_why(part, before)}; new tensors must be"
                " trained"
            )
    for name, parameter in model.named_parameters():
        if name in loaded and part_of(name) in frozen:
            parameter.requires_grad_(False)
    if not any(parameter.requires_grad for module in model.children() for parameter in module.parameters()):
        raise ValueError(f"{setting} names all parts of the model ({', '.join(frozen)}): nothing would be trained")


def check_trains_in_all_steps(model: SyCoCa, objectives: ObjectivesConfig) -> None:
    """Raise ValueError where steps without TG-MIM would train nothing, since the image decoder alone is trained."""
    trained = {part_of(name) for name, parameter in model.named_parameters() if parameter.requires_grad}
    if objectives.has_steps_without_masked_image and trained <= {"image_decoder"}:
        raise ValueError(
            "steps without TG-MIM would train nothing, since all parts but the image decoder are frozen: set"
            " objectives.masked_image_every to 1 and objectives.masked_image_from to 0"
        )


def trains_encoders(model: SyCoCa) -> bool:
    """Return whether any parameter of the encoders is trained."""
    encoders = (model.image_encoder, model.text_encoder)
    return any(own.requires_grad for encoder in encoders for own in encoder.parameters())


def _why(part: FreezablePart, before: WeightsConfig | None) -> str:
    """Return why weights lack a decoder, as the rest of a sentence; nothing where that is not known."""
    decoders: dict[str, PartName] = {name: name for name in WEIGHT_FIELD_OF_COMPONENT}
    return f" ({why_missing(before, decoders[part])})" if before is not None and part in decoders else ""
