"""The configuration of a fine-tuning for retrieval or captioning."""

from dataclasses import dataclass, field
from typing import Literal

from sycoca.objectives.config import ObjectivesConfig
from sycoca.training.recipes.finetune_config import FinetuneConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class FinetunePairsConfig(FinetuneConfig):
    """Fine-tuning on images and captions."""

    task: Literal["retrieval", "captioning"]
    """What the model is fine-tuned for."""

    objectives: ObjectivesConfig = field(default_factory=lambda: ObjectivesConfig(masked_image_weight=0.0))
    """What is minimized; a component whose objective has weight zero is left behind."""

    hides_from_captioning: bool = False
    """Whether the captioner sees only its share of the patches, as in pretraining; by default all, as in use."""
