"""``sycoca evaluate grounding``."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sycoca.evaluation.tasks.inputs import TaskInputs
from sycoca.evaluation.tasks.task import EvaluationTask

if TYPE_CHECKING:
    from sycoca.evaluation.report import Report


@dataclass(frozen=True, kw_only=True, slots=True)
class Task(EvaluationTask):
    """Patch scores against the pixels of the objects that the caption names (built-in scenes)."""

    def evaluate(self, inputs: TaskInputs) -> "Report":
        """Score the patches and compare them with the pixels that captions and their noun phrases describe."""
        from sycoca.evaluation.phrase_grounding import evaluate_grounding_and_phrases

        return evaluate_grounding_and_phrases(inputs.predictor, self.source(inputs), **inputs.settings(self.limit))
