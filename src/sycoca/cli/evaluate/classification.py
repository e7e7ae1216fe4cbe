"""``sycoca evaluate classification``."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sycoca.cli.evaluate.arguments import EvaluationArguments

if TYPE_CHECKING:
    from sycoca.evaluation.report import Report


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments(EvaluationArguments):
    """Classification by the head of a model from sycoca finetune classification."""

    unlabeled: Literal["error", "skip"] = "error"
    """What becomes of images without label, or with one the head does not know: an error, or left out and counted."""

    def prepare(self) -> None:
        """Open what is named, and see whether the model can classify."""
        from sycoca.inference.classification import head_names

        EvaluationArguments.prepare(self)
        head_names(self.predictor().config)

    def report(self) -> "Report":
        """Evaluate."""
        from sycoca.evaluation.classification import evaluate_classification

        source = self.source()
        return evaluate_classification(self.predictor(), source, unlabeled=self.unlabeled, **self.settings())
