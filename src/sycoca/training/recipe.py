"""What one kind of training adds to a run: its data, its model and objectives, its measures."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from sycoca.data.samples import SampleSource
from sycoca.data.spec import open_source
from sycoca.evaluation.shares import Shares
from sycoca.inference.predictor import Predictor
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
        if validation is None and self.config.data.validation is not None:
            validation = open_source(self.config.data.validation)
        sources = Sources(
            train=self._checked(open_source(self.config.data.train) if train is None else as_source(train)),
            validation=None if validation is None else self._checked(as_source(validation)),
        )
        return Sources(train=self.prepared(sources.train), validation=sources.validation)

    def _checked(self, source: SampleSource) -> SampleSource:
        if len(source) == 0:
            raise ValueError(f"{source.name} has no samples; check the data's path and its ?split=")
        self.check_source(source)
        return source


def check_captions(source: SampleSource) -> None:
    """Raise ValueError where a source has no captions."""
    if not source[0].captions:
        raise ValueError(
            f"{source.name} has no captions, and this training needs them; name their column, as in ?caption=title"
        )
