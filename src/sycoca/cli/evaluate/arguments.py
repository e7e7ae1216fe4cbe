"""The options of every evaluation."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypedDict

from tyro.conf import Positional, SuppressFixed

from sycoca.cli.evaluate.context import EvaluationContext
from sycoca.cli.shared.model_arguments import ModelArguments
from sycoca.cli.shared.report_arguments import ReportArguments

if TYPE_CHECKING:
    from rich.console import Console

    from sycoca.data.samples import SampleSource
    from sycoca.data.scenes.source import ScenesSource
    from sycoca.evaluation.embeddings import ImageEmbeddings
    from sycoca.inference.predictor import Predictor


class EvaluationSettings(TypedDict):
    """The keywords that every ``evaluate_...`` function has."""

    batch_size: int
    limit: int | None
    console: "Console | None"


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationArguments(ReportArguments):
    """What every evaluation takes."""

    weights: Positional[str]
    """A weights folder, or hf:owner/name[@revision] at the Hugging Face Hub."""

    data: str
    """Data as a SPEC: a path, or kind:path?option=value."""

    limit: int | None = None
    """Evaluate the first so many samples; None takes all."""

    max_skipped_ratio: float = 0.0
    """Largest share of the samples that may be left out because they cannot be used; the report counts them."""

    model: ModelArguments = field(default_factory=ModelArguments)
    """On what it runs."""

    context: SuppressFixed[EvaluationContext] = field(default_factory=EvaluationContext, compare=False, repr=False)
    """Models, data and embeddings that are open already; no option of the command line."""

    def prepare(self) -> None:
        """Open what is named, so that what is missing is found before anything runs. Raises ValueError."""
        self.context.source(self.data)
        self.predictor()

    def predictor(self) -> "Predictor":
        """Open the weights."""
        return self.context.predictor(self.weights, self.model)

    def embeddings(self) -> "ImageEmbeddings":
        """Return the image embeddings of the model, which evaluations share."""
        return self.context.embeddings(self.weights, self.model)

    def settings(self) -> EvaluationSettings:
        """Return what every ``evaluate_...`` function takes beside model and data."""
        from rich.console import Console

        return {"batch_size": self.model.batch_size, "limit": self.limit, "console": Console(stderr=True)}

    def scenes(self) -> "ScenesSource":
        """Open data that must be built-in scenes."""
        from sycoca.data.scenes.source import ScenesSource

        source = self.context.source(self.data)
        if not isinstance(source, ScenesSource):
            raise ValueError(f"{self.data} is not made of scenes; give --data 'scenes:?split=test'")
        return source

    def source(self) -> "SampleSource":
        """Open the data. Where samples may be left out, those with unreadable images are, each counted."""
        return self.context.usable_source(self.data, self.max_skipped_ratio, self.limit)
