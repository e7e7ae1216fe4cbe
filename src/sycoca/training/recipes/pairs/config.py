"""The configuration of fine-tuning for retrieval or captioning."""

from collections.abc import Mapping
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
    """Hide patches from captioning, in the fraction of images and of training for which pretraining did; without it all
    are visible, as at inference."""

    def __post_init__(self) -> None:
        FinetuneConfig.__post_init__(self)
        check_groups(self.objectives, self.training)
        if self.objectives.masked_feature_weight > 0:
            raise ValueError("objectives.masked_feature_weight is for pretraining alone: set it to 0")
        # The share of images and the image decoder are the weights', which only the recipe knows.
        self.objectives.check_encoded_patches(
            hides_from_captioning=self.hides_from_captioning, hidden_share=1.0, masks_in_image_encoder=False
        )

    @property
    def prevents_caching(self) -> Mapping[str, float | str | None]:
        """Objectives whose image encoder sees other patches in every step."""
        return self.objectives.prevents_caching
