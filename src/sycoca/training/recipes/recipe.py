"""What one kind of training adds to a run: its data, its model and objectives, its measures."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from sycoca.data.loading.batch_maker import BatchMaker
from sycoca.data.samples import SampleSource
from sycoca.data.spec import open_source
from sycoca.evaluation.sharding import Sharding
from sycoca.inference.predictor import Predictor
from sycoca.model.sycoca import SyCoCa
from sycoca.preprocess.tokenizer import Tokenizer
from sycoca.reports.run_report import Gallery
from sycoca.training.config import RunConfig
from sycoca.training.engine.runtime import Runtime
from sycoca.training.engine.task import TrainingTask
from sycoca.training.in_memory_source import Pair, as_source
from sycoca.training.run_folder import RunFolder
from sycoca.weights.config import WeightsConfig

C = TypeVar("C", bound=RunConfig)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sources:
    """The data of a run."""

    train: SampleSource
    """What is trained on."""

    validation: SampleSource | None
    """What is measured on, if anything."""

    train_spec: str | None = None
    """The SPEC that the training data was opened by; None where a caller gave a source."""

    validation_spec: str | None = None
    """The same for what is measured on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedParts:
    """What a kind of training brings."""

    tokenizer: Tokenizer
    """The model's own."""

    model: SyCoCa
    """On its device, as training begins."""

    weights: WeightsConfig
    """What a weights folder and a predictor need to know of the model."""

    task: TrainingTask
    """The objectives around the model."""

    validation_task: TrainingTask
    """The same for one process alone, with nothing that only training does."""

    batch_maker: BatchMaker
    """What goes into batches beside images."""

    mixup_alpha: float | None = None
    """How strongly training images are mixed, see `TrainingCrops`; None does not."""

    lr_ratios: Mapping[str, float] = field(default_factory=dict)
    """Sharding of the learning rate by names of parameters, beside those of layers; others have all of it."""


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
    def measure(self, predictor: Predictor, source: SampleSource, sharding: Sharding) -> dict[str, float]:
        """Return metrics on validation samples; called by all processes."""

    @abstractmethod
    def gallery(self, predictor: Predictor, source: SampleSource, taken_from: str) -> Gallery:
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
