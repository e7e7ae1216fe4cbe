"""What pretraining and fine-tuning on image-caption pairs have in common."""

from abc import abstractmethod
from collections.abc import Iterator
from typing import Generic, TypeVar

from sycoca.data.samples import SampleSource, with_remarks
from sycoca.facts.objective_facts import ObjectiveName
from sycoca.inference.predictor import Predictor
from sycoca.objectives.config import ObjectivesConfig
from sycoca.reports.run_report import Gallery, gather_gallery
from sycoca.training.config import RunConfig
from sycoca.training.recipes.image_text.caption_kinds import GeneratedRatios
from sycoca.training.recipes.notices import Truncation, count_truncated, truncation_notice
from sycoca.training.recipes.recipe import Recipe, TrainedParts

C = TypeVar("C", bound=RunConfig)


class ImageTextRecipe(Recipe[C], Generic[C]):
    """Training on image-caption pairs with the paper's three objectives."""

    def __init__(self, config: C) -> None:
        super().__init__(config)
        self._read_source: SampleSource | None = None
        self._truncation: Truncation | None = None

    @property
    @abstractmethod
    def objectives_config(self) -> ObjectivesConfig:
        """The objectives of the recipe's config."""

    @property
    def objectives(self) -> dict[ObjectiveName, float]:
        """The weights of the paper's three objectives by name, zeros included."""
        return self.objectives_config.weights

    @property
    @abstractmethod
    def truncation_remedy(self) -> str:
        """What avoids truncated captions."""

    def check_source(self, source: SampleSource) -> None:
        """Raise ValueError where the source has no captions."""
        if not source[0].captions:
            fault = "has no captions, and this training needs them; name their column, as in ?caption=title"
            raise ValueError(with_remarks(f"{source.name} {fault}", source))

    def check_caption_kinds(self, source: SampleSource) -> None:
        """Raise ValueError where generated captions, or several of an image, are to be drawn and there are none."""
        ratios = self._ratios(source)
        ratios.check()
        ratios.check_several(self.objectives_config.captions_per_image)

    def _ratios(self, source: SampleSource) -> GeneratedRatios:
        return GeneratedRatios(source, self.config.data.generated_caption_ratio)

    def notices(self, trained: TrainedParts) -> Iterator[str]:
        """Warn of truncated captions."""
        yield from truncation_notice(self.truncation(trained), self.truncation_remedy)
        yield from super().notices(trained)

    def truncation(self, trained: TrainedParts) -> Truncation:
        """Return how many training captions are longer than the context; they are counted once."""
        assert self._read_source is not None, "the recipe has been built"
        if self._truncation is None:
            context_length = trained.model.config.text_encoder.context_length
            with_generated = self._ratios(self._read_source).uses_generated
            self._truncation = count_truncated(
                self._read_source, trained.tokenizer, context_length, with_generated=with_generated
            )
        return self._truncation

    def gallery(self, predictor: Predictor, source: SampleSource, taken_from: str) -> Gallery:
        """Return retrieved images (with the contrastive objective), captions and masks."""
        can_search = self.objectives_config.contrastive_weight != 0
        return gather_gallery(predictor, source, taken_from, can_search=can_search)
