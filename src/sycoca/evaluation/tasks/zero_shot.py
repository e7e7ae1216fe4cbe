"""``sycoca evaluate zero-shot``."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from sycoca.evaluation.class_options import ClassOptions
from sycoca.evaluation.tasks.inputs import OpenSources, TaskInputs
from sycoca.evaluation.tasks.task import EvaluationTask

if TYPE_CHECKING:
    from sycoca.evaluation.report import Report
    from sycoca.evaluation.zero_shot import ZeroShotPrompts


@dataclass(frozen=True, kw_only=True, slots=True)
class Task(EvaluationTask):
    """Zero-shot classification: top-1 and top-5 accuracy, and the mean over classes; classes are prompts."""

    unlabeled: Literal["error", "skip"] = "error"
    """What becomes of images without label, or with one that is no class: an error, or left out and counted."""

    prompts: ClassOptions = field(default_factory=ClassOptions)
    """Classes and prompts; without class names the classes are the data's labels."""

    def open_data(self, sources: OpenSources) -> None:
        """Read classes and templates, then open the data."""
        self._prompts()
        EvaluationTask.open_data(self, sources)

    def evaluate(self, inputs: TaskInputs) -> "Report":
        """Compare the images with the prompts of the classes."""
        from sycoca.evaluation.zero_shot import evaluate_zero_shot

        return evaluate_zero_shot(
            inputs.predictor,
            self.source(inputs),
            prompts=self._prompts(),
            embeddings=inputs.model.embeddings,
            **inputs.settings(self.limit),
        )

    def _prompts(self) -> "ZeroShotPrompts":
        from sycoca.evaluation.zero_shot import ZeroShotPrompts

        return ZeroShotPrompts(
            classes=self.prompts.classes(),
            templates=self.prompts.prompts(),
            scorer=self.prompts.scorer,
            unlabeled=self.unlabeled,
        )
