"""The options of every evaluation."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypedDict

from tyro.conf import Positional

from sycoca.cli.model_arguments import ModelArguments
from sycoca.cli.report_arguments import ReportArguments

if TYPE_CHECKING:
    from rich.console import Console

    from sycoca.data.samples import SampleSource
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
    """A weights folder."""

    data: str
    """Data as a SPEC: a path, or kind:path?option=value."""

    limit: int | None = None
    """Evaluate the first so many samples; None takes all."""

    max_skipped_ratio: float = 0.0
    """Largest share of the samples that may be left out because they cannot be used; the report counts them."""

    model: ModelArguments = field(default_factory=ModelArguments)
    """On what it runs."""

    def predictor(self) -> "Predictor":
        """Open the weights."""
        return self.model.load(self.weights)

    def settings(self) -> EvaluationSettings:
        """Return what every ``evaluate_...`` function takes beside model and data."""
        from rich.console import Console

        return {"batch_size": self.model.batch_size, "limit": self.limit, "console": Console(stderr=True)}

    def source(self) -> "SampleSource":
        """Open the data. Where samples may be left out, those with unreadable images are, each counted."""
        from rich.console import Console

        from sycoca.data.skipping import SkipLog, UsableSamples, image_problems
        from sycoca.data.spec import open_source
        from sycoca.evaluation.batches import num_evaluated
        from sycoca.inference.progress import tracked

        source = open_source(self.data)
        log = SkipLog(source, self.max_skipped_ratio)
        if self.max_skipped_ratio == 0:
            return source  # the first image that cannot be read is an error
        console, num_samples = Console(stderr=True), num_evaluated(source, self.limit)
        problems = tracked(image_problems(source, self.limit), num_samples, "checking images", console=console)
        return UsableSamples(source, log, problems)
