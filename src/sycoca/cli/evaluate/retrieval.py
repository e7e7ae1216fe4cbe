"""``sycoca evaluate retrieval``."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sycoca.cli.evaluate.arguments import EvaluationArguments

if TYPE_CHECKING:
    from sycoca.evaluation.report import Report
    from sycoca.evaluation.retrieval import RetrievalOptions


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments(EvaluationArguments):
    """Image-text retrieval in both directions: recall at 1, 5 and 10, ranks."""

    captions_per_image: int | None = None
    """Take the first so many captions of each image (5 is COCO's convention); None takes all."""

    re_rank: int | None = None
    """Report also the ranks after the first so many candidates of every query have been put in the order of how likely
    the captioner finds the caption for the image, per token, in both directions (re_ranked_...). Costs one pass
    through the text decoder for every candidate; no figure to compare with dual encoders."""

    def prepare(self) -> None:
        """Open what is named, and look at the options."""
        self._options()
        EvaluationArguments.prepare(self)

    def report(self) -> "Report":
        """Evaluate."""
        from sycoca.evaluation.retrieval import evaluate_retrieval

        options, source = self._options(), self.source()
        return evaluate_retrieval(
            self.predictor(), source, options=options, embeddings=self.embeddings(), **self.settings()
        )

    def _options(self) -> "RetrievalOptions":
        from sycoca.evaluation.retrieval import RetrievalOptions

        return RetrievalOptions(captions_per_image=self.captions_per_image, re_rank=self.re_rank)
