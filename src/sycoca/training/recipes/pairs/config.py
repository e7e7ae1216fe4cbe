"""The configuration of fine-tuning for retrieval or captioning."""

from dataclasses import dataclass, field
from typing import Literal

from sycoca.objectives.config import ObjectivesConfig
from sycoca.training.recipes.finetune_config import FinetuneConfig
from sycoca.training.recipes.image_text.groups import check_groups


@dataclass(frozen=True, kw_only=True, slots=True)
class FinetunePairsConfig(FinetuneConfig):
    """Fine-tuning on image-caption pairs, for retrieval or captioning."""

    task: Literal["retrieval", "captioning"]
    """The task to fine-tune for."""

    objectives: ObjectivesConfig = field(default_factory=lambda: ObjectivesConfig(masked_image_weight=0.0))
    """The objectives and their weights; a decoder whose objective has weight zero is dropped."""

    hides_from_captioning: bool = False
    """Hide patches from captioning, as in pretraining; without it all are visible, as at inference."""

    def __post_init__(self) -> None:
        FinetuneConfig.__post_init__(self)
        check_groups(self.objectives, self.training)

    @property
    def encoded_anew(self) -> dict[str, float | None]:
        """Masked image modeling, whose image encoder sees other patches in every step."""
        return {"objectives.masked_image_weight": self.objectives.masked_image_weight or None}
