"""The interface of a recipe: the data, model, objectives and metrics of one kind of training."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from sycoca.data.loading.batch_maker import BatchMaker
from sycoca.data.samples import SampleSource
from sycoca.data.spec import open_source
from sycoca.evaluation.sharding import Sharding
from sycoca.facts.limit_facts import ModelLimits
from sycoca.facts.objective_facts import ObjectiveName
from sycoca.facts.training_facts import TrainingKind
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
    """The training and validation data of a run."""

    train: SampleSource
    """Training data."""

    validation: SampleSource | None
    """Validation data, if any."""

    train_spec: str | None = None
    """The SPEC of the training data; None where the caller passed a source."""

    validation_spec: str | None = None
    """The SPEC of the validation data, likewise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedParts:
    """The parts that a recipe builds for a run."""

    tokenizer: Tokenizer
    """The model's tokenizer."""

    model: SyCoCa
    """The initial model, on its device."""

    weights: WeightsConfig
    """The model's config as a weights folder stores it."""

    limits: ModelLimits | None
    """What the trained model will not be able to do; None where an old run folder does not say it."""

    task: TrainingTask
    """The training task: model and objectives."""

    validation_task: TrainingTask
    """The task for validation: in one process, without drop path and other regularization."""

    batch_maker: BatchMaker
    """Makes batches of image crops and samples."""

    mixup_alpha: float | None = None
    """Mixup's alpha, see `TrainingCrops`; None without mixup."""

    compares_samples: bool = False
    """Whether samples of a batch are compared with each other (contrastive loss), and so must be told from copies."""

    lr_ratios: Mapping[str, float] = field(default_factory=dict)
    """Learning-rate scales by parameter name, beside layer-wise decay; 1 for parameters not named."""


class Recipe(ABC, Generic[C]):
    """One kind of training, which ``TrainingRun`` runs."""

    def __init__(self, config: C) -> None:
        self.config = config

    @property
    @abstractmethod
    def training(self) -> TrainingKind:
        """The kind of training."""

    @property
    @abstractmethod
    def title(self) -> str:
        """The name of the run in messages and reports."""

    @property
    @abstractmethod
    def description(self) -> str:
        """The training in a phrase, such as "trained from scratch (preset tiny)"."""

    @property
    @abstractmethod
    def objectives(self) -> dict[ObjectiveName, float]:
        """The weights of the objectives by name."""

    @property
    def base(self) -> str | None:
        """The initial weights; None where training starts from scratch."""
        return None

    @property
    def deviations(self) -> list[str]:
        """How the method differs from the paper's, see `paper_facts`; fine-tuning has nothing to compare with."""
        return []

    @abstractmethod
    def check_source(self, source: SampleSource) -> None:
        """Raise ValueError where a source lacks what this training needs, such as captions."""

    def check_caption_kinds(self, source: SampleSource) -> None:  # noqa: ARG002 (for training on captions)
        """Raise ValueError where the config says which captions of the training data to draw, and none are drawn."""
        if self.config.data.generated_caption_ratio is not None:
            raise ValueError(f"data.generated_caption_ratio needs training on captions; {self.title} draws none")

    @abstractmethod
    def build(self, source: SampleSource, folder: RunFolder, runtime: Runtime) -> TrainedParts:
        """Build the model, its tokenizer and the tasks; called by all processes."""

    @abstractmethod
    def measure(self, predictor: Predictor, source: SampleSource, sharding: Sharding) -> dict[str, float]:
        """Return the task's metrics on validation samples; called by all processes."""

    @abstractmethod
    def gallery(self, predictor: Predictor, source: SampleSource, taken_from: str) -> Gallery:
        """Return the examples of the model's outputs for the run's report."""

    @property
    @abstractmethod
    def commands_to_try(self) -> tuple[str, ...]:
        """Commands to try with the trained weights, whose path is written ``{weights}``."""

    def summary(self, trained: TrainedParts) -> Iterator[str]:  # noqa: ARG002 (for recipes that have some)
        """Yield what the model was loaded from and what it learns, a line each, for the log before the first step."""
        yield from ()

    def notices(self, trained: TrainedParts) -> Iterator[str]:  # noqa: ARG002 (for recipes that have some)
        """Yield warnings to show before the first step."""
        yield from ()

    def prepared(self, source: SampleSource) -> SampleSource:
        """Return the source as trained on, such as grouped by question; unchanged by default."""
        return source

    def open_sources(
        self,
        train: SampleSource | Iterable[Pair] | None = None,
        validation: SampleSource | Iterable[Pair] | None = None,
    ) -> Sources:
        """Open the given data, or else the config's; raises ValueError where a source is empty or unsuitable."""
        data = self.config.data
        train_spec = data.train if train is None else None
        validation_spec = data.validation if validation is None else None
        if validation_spec is not None:
            validation = _opened("data.validation", validation_spec)
        sources = Sources(
            train=self._checked(_opened("data.train", data.train) if train is None else as_source(train)),
            validation=None if validation is None else self._checked(as_source(validation)),
            train_spec=train_spec,
            validation_spec=validation_spec,
        )
        self.check_caption_kinds(sources.train)
        return replace(sources, train=self.prepared(sources.train))

    def _checked(self, source: SampleSource) -> SampleSource:
        if len(source) == 0:
            raise ValueError(f"{source.name} has no samples; check the data's path and its ?split=")
        self.check_source(source)
        return source


def _opened(setting: str, spec: str) -> SampleSource:
    """Open the data that a setting names; errors begin with its name, since a preset may have set it."""
    try:
        return open_source(spec)
    except ValueError as error:
        raise ValueError(f"{setting}: {error}") from error
