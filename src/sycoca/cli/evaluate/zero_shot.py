"""``sycoca evaluate zero-shot``."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from sycoca.cli.evaluate.arguments import EvaluationArguments
from sycoca.cli.shared.class_arguments import ClassArguments

if TYPE_CHECKING:
    from sycoca.evaluation.report import Report
    from sycoca.evaluation.zero_shot import ZeroShotPrompts


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments(EvaluationArguments):
    """Zero-shot classification: top-1 and top-5 accuracy, and the mean over classes; classes are prompts."""

    unlabeled: Literal["error", "skip"] = "error"
    """What becomes of images without label, or with one that is no class: an error, or left out and counted."""

    prompts: ClassArguments = field(default_factory=ClassArguments)
    """Classes and prompts; without class names the classes are the data's labels."""

    def prepare(self) -> None:
        """Open what is named, classes and templates too."""
        self._prompts()
        EvaluationArguments.prepare(self)

    def report(self) -> "Report":
        """Evaluate."""
        from sycoca.evaluation.zero_shot import evaluate_zero_shot

        prompts, source = self._prompts(), self.source()
        return evaluate_zero_shot(
            self.predictor(), source, prompts=prompts, embeddings=self.embeddings(), **self.settings()
        )

    def _prompts(self) -> "ZeroShotPrompts":
        from sycoca.evaluation.zero_shot import ZeroShotPrompts

        return ZeroShotPrompts(
            classes=self.prompts.classes(),
            templates=self.prompts.prompts(),
            scorer=self.prompts.scorer,
            unlabeled=self.unlabeled,
        )
