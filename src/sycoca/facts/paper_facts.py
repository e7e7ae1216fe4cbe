"""The paper's settings, and how a configuration differs from them. Imports no torch."""

from dataclasses import dataclass
from operator import attrgetter

from sycoca.facts.objective_facts import OBJECTIVES, ObjectiveName


@dataclass(frozen=True, kw_only=True, slots=True)
class PaperSetting:
    """A setting of the method (SyCoCa, arXiv 2401.02137)."""

    title: str
    """What it sets."""

    field: str
    """The field of ``PretrainConfig``, with dots."""

    value: str | int | float | bool
    """The paper's value."""

    objectives: tuple[ObjectiveName, ...] = ()
    """The objectives that it acts on; it matters if one of them has a weight. Empty for a setting of all models."""


PAPER_SETTINGS: tuple[PaperSetting, ...] = (
    PaperSetting(title="image pooling", field="model.image_encoder.pooling", value="cls"),
    PaperSetting(title="text pooling", field="model.text_encoder.pooling", value="cls"),
    PaperSetting(title="weight of ITC", field="objectives.contrastive_weight", value=1.0),
    PaperSetting(
        title="loss of ITC", field="objectives.contrastive_loss", value="softmax", objectives=("contrastive",)
    ),
    PaperSetting(
        title="captions of an image that ITC compares",
        field="objectives.captions_per_image",
        value=1,
        objectives=("contrastive",),
    ),
    PaperSetting(title="weight of IC", field="objectives.captioning_weight", value=2.0),
    PaperSetting(title="weight of TG-MIM", field="objectives.masked_image_weight", value=1.0),
    PaperSetting(
        title="patches encoded for ITC and IC",
        field="objectives.encoded_patches",
        value="all",
        objectives=("contrastive", "captioning"),
    ),
    PaperSetting(title="weight of a teacher's features", field="objectives.masked_feature_weight", value=0.0),
    PaperSetting(title="weight of patches and words", field="objectives.patch_word_weight", value=0.0),
    PaperSetting(
        title="masking", field="masking.strategy", value="attentive", objectives=("captioning", "masked_image")
    ),
    PaperSetting(
        title="patch score", field="masking.score", value="token_max", objectives=("captioning", "masked_image")
    ),
    PaperSetting(
        title="hiding of patches from captioning",
        field="masking.hides_from_captioning",
        value=True,
        objectives=("captioning",),
    ),
    PaperSetting(
        title="ratio of patches hidden from captioning",
        field="masking.captioning_hidden_ratio",
        value=0.5,
        objectives=("captioning",),
    ),
    PaperSetting(
        title="share of images that captioning does not see",
        field="objectives.captioning_dropped_share",
        value=0.0,
        objectives=("captioning",),
    ),
    PaperSetting(
        title="share of captions predicted in parallel",
        field="objectives.captioning_parallel_share",
        value=0.0,
        objectives=("captioning",),
    ),
    PaperSetting(
        title="share of images with patches hidden from captioning",
        field="masking.captioning_hidden_share",
        value=1.0,
        objectives=("captioning",),
    ),
    PaperSetting(
        title="end of hiding patches from captioning, as a fraction of training",
        field="masking.captioning_hidden_until",
        value=1.0,
        objectives=("captioning",),
    ),
    PaperSetting(
        title="start of masking by score, as a fraction of training",
        field="masking.attentive_from",
        value=0.0,
        objectives=("captioning", "masked_image"),
    ),
    PaperSetting(
        title="steps from one with TG-MIM to the next",
        field="objectives.masked_image_every",
        value=1,
        objectives=("masked_image",),
    ),
    PaperSetting(
        title="start of TG-MIM, as a fraction of training",
        field="objectives.masked_image_from",
        value=0.0,
        objectives=("masked_image",),
    ),
    PaperSetting(
        title="ratio of patches masked for reconstruction",
        field="masking.reconstruction_masked_ratio",
        value=0.5,
        objectives=("masked_image",),
    ),
)
"""The settings that the paper states, apart from data, sizes and length of training."""


def deviations(config: object) -> list[str]:
    """Return how a pretraining configuration differs from the paper, such as "patch score caption (paper: token_max)".

    Settings of objectives with weight 0 are left out.
    """
    weights = {name: attrgetter(f"objectives.{facts.weight_field}")(config) for name, facts in _WEIGHTED.items()}
    return [
        f"{setting.title} {_shown(value)} (paper: {_shown(setting.value)})"
        for setting in PAPER_SETTINGS
        if (value := attrgetter(setting.field)(config)) != setting.value
        and (not setting.objectives or any(weights[name] > 0 for name in setting.objectives))
    ]


_WEIGHTED = {name: facts for name, facts in OBJECTIVES.items() if facts.weight_field is not None}


def _shown(value: str | int | float | bool) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case str():
            return value
        case _:
            return f"{value:g}"
