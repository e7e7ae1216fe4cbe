"""What a fine-tuning run is made of, as typed values. Imports no torch, so that help loads at once."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from sycoca.objectives.config import ObjectivesConfig
from sycoca.preprocess.config import ImageTransformConfig
from sycoca.training.config import RunConfig

FinetuneTask = Literal["retrieval", "captioning"]
"""What a pretrained model can be fine-tuned for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FinetuneConfig(RunConfig):
    """What every fine-tuning has."""

    command: ClassVar[str] = "finetune"

    task: FinetuneTask
    """What the model is fine-tuned for."""

    weights: str
    """The weights folder that it starts from."""

    random_weights: bool = False
    """Draw all weights anew and keep sizes and tokenizer only: what the same training reaches without pretraining."""

    transforms: ImageTransformConfig | None = None
    """From pictures to pixels; None takes what the model was pretrained with."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FinetunePairsConfig(FinetuneConfig):
    """Fine-tuning on images and captions."""

    task: Literal["retrieval", "captioning"]
    """What the model is fine-tuned for."""

    objectives: ObjectivesConfig = field(default_factory=lambda: ObjectivesConfig(masked_image_weight=0.0))
    """What is minimized; a component whose objective has weight zero is left behind."""

    hides_from_captioning: bool = False
    """Whether the captioner sees only its share of the patches, as in pretraining; by default all, as in use."""


CONFIGS: dict[str, type[FinetuneConfig]] = {"retrieval": FinetunePairsConfig, "captioning": FinetunePairsConfig}
"""The kind of config of each task."""
