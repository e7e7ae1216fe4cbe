"""``sycoca evaluate retrieval``."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sycoca.cli.evaluation_arguments import EvaluationArguments

if TYPE_CHECKING:
    from sycoca.evaluation.report import Report


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments(EvaluationArguments):
    """Image-text retrieval in both directions: recall at 1, 5 and 10, ranks."""

    captions_per_image: int | None = None
    """Take the first so many captions of each image (5 is COCO's convention); None takes all."""

    def report(self) -> "Report":
        """Evaluate."""
        from sycoca.evaluation.retrieval import evaluate_retrieval

        source = self.source()
        return evaluate_retrieval(
            self.predictor(), source, captions_per_image=self.captions_per_image, **self.settings()
        )
