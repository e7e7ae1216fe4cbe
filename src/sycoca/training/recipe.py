"""What one kind of training adds to a run: its data, its model and objectives, its measures."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Generic, TypeVar

from sycoca.data.samples import SampleSource
from sycoca.data.spec import open_source
from sycoca.evaluation.shares import Shares
from sycoca.inference.predictor import Predictor
from sycoca.objectives.config import ObjectivesConfig
from sycoca.reports.run_report import Examples
from sycoca.training.assembly import Sources, TrainedParts
from sycoca.training.config import RunConfig
from sycoca.training.pairs import Pair, as_source
from sycoca.training.run_folder import RunFolder
from sycoca.training.runtime import Runtime

C = TypeVar("C", bound=RunConfig)


class Recipe(ABC, Generic[C]):
    """One kind of training; ``TrainingRun`` follows it."""

    def __init__(self, config: C) -> None:
        self.config = config

    @property
    @abstractmethod
    def title(self) -> str:
        """What the run is called in a word."""

    @property
    @abstractmethod
    def deed(self) -> str:
        """What is done to the model, as part of a sentence: "trained from nothing (preset tiny)"."""

    @property
    @abstractmethod
    def objectives(self) -> dict[str, float]:
        """What is minimized, by name with its weight."""

    @property
    def base(self) -> str | None:
        """The weights that training begins with; None where it begins with nothing."""
        return None

    @abstractmethod
    def check_source(self, source: SampleSource) -> None:
        """Raise ValueError where a source lacks what this training needs."""

    @abstractmethod
    def build(self, source: SampleSource, folder: RunFolder, runtime: Runtime) -> TrainedParts:
        """Return model, objectives and what they belong to; called by all processes."""

    @abstractmethod
    def measure(self, predictor: Predictor, source: SampleSource, shares: Shares) -> dict[str, float]:
        """Return metrics on validation samples; called by all processes."""

    @abstractmethod
    def examples(self, predictor: Predictor, source: SampleSource, taken_from: str) -> Examples:
        """Return what the run's report shows of the model's work."""

    @property
    @abstractmethod
    def commands_to_try(self) -> tuple[str, ...]:
        """What users may do with the trained weights, whose place is written ``{weights}``."""

    def notices(self, trained: TrainedParts) -> Iterator[str]:  # noqa: ARG002 (for kinds that have some)
        """Yield what is said before the first step."""
        yield from ()

    def prepared(self, source: SampleSource) -> SampleSource:
        """Return the source whose samples are trained on, one after another."""
        return source

    def open_sources(
        self,
        train: SampleSource | Iterable[Pair] | None = None,
        validation: SampleSource | Iterable[Pair] | None = None,
    ) -> Sources:
        """Open the config's data, in whose place what is given is taken; ValueError where it has no samples."""
        data = self.config.data
        train_spec = data.train if train is None else None
        validation_spec = data.validation if validation is None else None
        if validation_spec is not None:
            validation = open_source(validation_spec)
        sources = Sources(
            train=self._checked(open_source(data.train) if train is None else as_source(train)),
            validation=None if validation is None else self._checked(as_source(validation)),
            train_spec=train_spec,
            validation_spec=validation_spec,
        )
        return replace(sources, train=self.prepared(sources.train))

    def _checked(self, source: SampleSource) -> SampleSource:
        if len(source) == 0:
            raise ValueError(f"{source.name} has no samples; check the data's path and its ?split=")
        self.check_source(source)
        return source


def objective_weights(config: ObjectivesConfig) -> dict[str, float]:
    """Return the three objectives of pairs by name with their weights, those that are off included."""
    return {
        "contrastive": config.contrastive_weight,
        "captioning": config.captioning_weight,
        "masked image": config.masked_image_weight,
    }


def check_captions(source: SampleSource) -> None:
    """Raise ValueError where a source has no captions."""
    if not source[0].captions:
        raise ValueError(
            f"{source.name} has no captions, and this training needs them; name their column, as in ?caption=title"
        )
