"""What pretraining and fine-tuning on image-caption pairs have in common."""

from abc import abstractmethod
from typing import Generic, TypeVar

from sycoca.data.samples import SampleSource
from sycoca.facts.objective_facts import ObjectiveName
from sycoca.inference.predictor import Predictor
from sycoca.objectives.config import ObjectivesConfig
from sycoca.reports.run_report import Gallery, gather_gallery
from sycoca.training.config import RunConfig
from sycoca.training.recipes.recipe import Recipe

C = TypeVar("C", bound=RunConfig)


class ImageTextRecipe(Recipe[C], Generic[C]):
    """Training on image-caption pairs with the paper's three objectives."""

    @property
    @abstractmethod
    def objectives_config(self) -> ObjectivesConfig:
        """The objectives of the recipe's config."""

    @property
    def objectives(self) -> dict[ObjectiveName, float]:
        """The weights of the paper's three objectives by name, zeros included."""
        return self.objectives_config.weights

    def check_source(self, source: SampleSource) -> None:
        """Raise ValueError where the source has no captions."""
        if not source[0].captions:
            raise ValueError(
                f"{source.name} has no captions, and this training needs them; name their column, as in ?caption=title"
            )

    def gallery(self, predictor: Predictor, source: SampleSource, taken_from: str) -> Gallery:
        """Return retrieved images (with the contrastive objective), captions and masks."""
        can_search = self.objectives_config.contrastive_weight != 0
        return gather_gallery(predictor, source, taken_from, can_search=can_search)
