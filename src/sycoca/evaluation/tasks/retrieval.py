"""``sycoca evaluate retrieval``."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sycoca.evaluation.tasks.inputs import OpenSources, TaskInputs
from sycoca.evaluation.tasks.task import EvaluationTask

if TYPE_CHECKING:
    from sycoca.evaluation.report import Report
    from sycoca.evaluation.retrieval import RetrievalOptions
    from sycoca.facts.limit_facts import AbilityName


@dataclass(frozen=True, kw_only=True, slots=True)
class Task(EvaluationTask):
    """Image-text retrieval in both directions: recall at 1, 5 and 10, ranks."""

    captions_per_image: int | None = None
    """Use the first N captions of each image (5 is COCO's convention)."""

    re_rank: int | None = None
    """Also re-rank the top N candidates of every query by the captioner's log-likelihood per token, and report these
    metrics as re_ranked_... . Costs one pass through the text decoder per candidate; not comparable with dual
    encoders."""

    @property
    def abilities(self) -> "tuple[AbilityName, ...]":
        """Captions for re-ranking."""
        return () if self.re_rank is None else ("captions",)

    def open_data(self, sources: OpenSources) -> None:
        """Check the options, then open the data."""
        self._options()
        EvaluationTask.open_data(self, sources)

    def evaluate(self, inputs: TaskInputs) -> "Report":
        """Rank captions by images and images by captions."""
        from sycoca.evaluation.retrieval import evaluate_retrieval

        return evaluate_retrieval(
            inputs.predictor,
            self.source(inputs),
            options=self._options(),
            embeddings=inputs.model.embeddings,
            **inputs.settings(self.limit),
        )

    def _options(self) -> "RetrievalOptions":
        from sycoca.evaluation.retrieval import RetrievalOptions

        return RetrievalOptions(captions_per_image=self.captions_per_image, re_rank=self.re_rank)
