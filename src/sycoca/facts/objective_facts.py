"""The objectives: titles of all losses, their weight fields and components. Imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

ObjectiveName = Literal[
    "contrastive", "captioning", "masked_image", "masked_feature", "patch_word", "answering", "classification"
]
"""The fields of ``LossTerms``; a logged loss has the same name."""

MASKED_CAPTIONING = "masked_captioning"
"""Name of the held-out captioning loss under training's masks, which depend on the caption that is predicted."""

ComponentName = Literal["text_decoder", "image_decoder"]
"""A component that only one objective needs: a field of ``SyCoCaConfig``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ObjectiveFacts:
    """An objective."""

    title: str
    """Name of its loss in reports."""

    short_title: str
    """Short name, for progress lines and tables of model cards."""

    weight_field: str | None = None
    """The field of ``ObjectivesConfig`` with its weight; None for the only objective of a training, with weight 1."""

    component: ComponentName | None = None
    """The component that only this objective needs."""

    held_out_note: str | None = None
    """How the held-out loss is computed where this differs from training."""

    masked_name: str | None = None
    """Name of its held-out loss under training's masks, which is logged where training hides patches."""

    masks_patches: bool = False
    """Whether it uses attentive masking."""

    needs_teacher: bool = False
    """Whether its targets come from the averaged weights; in pretraining alone."""

    is_mean_over_labels: bool = False
    """Whether its loss is a mean over target tokens of captions or over questions (`BatchTotals`), not over samples."""


OBJECTIVES: Mapping[ObjectiveName, ObjectiveFacts] = {
    "contrastive": ObjectiveFacts(
        title="contrastive loss, ITC", short_title="contrastive", weight_field="contrastive_weight"
    ),
    "captioning": ObjectiveFacts(
        title="captioning loss, IC",
        short_title="captioning",
        weight_field="captioning_weight",
        component="text_decoder",
        held_out_note="all patches visible",
        masked_name=MASKED_CAPTIONING,
        masks_patches=True,
        is_mean_over_labels=True,
    ),
    "masked_image": ObjectiveFacts(
        title="reconstruction loss, TG-MIM",
        short_title="masked image",
        weight_field="masked_image_weight",
        component="image_decoder",
        masks_patches=True,
    ),
    "masked_feature": ObjectiveFacts(
        title="loss of masked features, TG-MIM",
        short_title="masked features",
        weight_field="masked_feature_weight",
        held_out_note="the teacher's weights on both sides",
        masks_patches=True,
        needs_teacher=True,
    ),
    "patch_word": ObjectiveFacts(
        title="loss of patches and words",
        short_title="patches and words",
        weight_field="patch_word_weight",
        held_out_note="among the pairs of a group",
    ),
    "answering": ObjectiveFacts(title="answering loss", short_title="answering", is_mean_over_labels=True),
    "classification": ObjectiveFacts(title="classification loss", short_title="classification"),
}

WEIGHT_FIELD_OF_COMPONENT: Mapping[ComponentName, str] = {
    facts.component: facts.weight_field
    for facts in OBJECTIVES.values()
    if facts.component is not None and facts.weight_field is not None
}
"""The weight field of the objective that needs a component."""

AVERAGED_OVER_LABELS: frozenset[str] = frozenset(
    loss
    for name, facts in OBJECTIVES.items()
    if facts.is_mean_over_labels
    for loss in (name, facts.masked_name)
    if loss is not None
)
"""Names of the losses, held-out ones too, that are means over target tokens of captions, or over questions."""
