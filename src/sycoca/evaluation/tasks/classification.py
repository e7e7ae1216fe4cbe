"""``sycoca evaluate classification``."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sycoca.evaluation.class_options import Unlabeled
from sycoca.evaluation.tasks.inputs import TaskInputs
from sycoca.evaluation.tasks.task import EvaluationTask

if TYPE_CHECKING:
    from sycoca.evaluation.report import Report
    from sycoca.inference.predictor import Predictor


@dataclass(frozen=True, kw_only=True, slots=True)
class Task(EvaluationTask):
    """Classification with the head of a model that sycoca finetune classification has trained."""

    unlabeled: Unlabeled = "error"
    """What to do with images whose label is missing or unknown to the head; skipped ones are counted."""

    def check_model(self, predictor: "Predictor") -> None:
        """Raise ValueError for a model without classification head."""
        from sycoca.inference.classification import head_names

        head_names(predictor.config)

    def evaluate(self, inputs: TaskInputs) -> "Report":
        """Classify the images with the model's head."""
        from sycoca.evaluation.classification import evaluate_classification

        return evaluate_classification(
            inputs.predictor, self.source(inputs), unlabeled=self.unlabeled, **inputs.settings(self.limit)
        )
