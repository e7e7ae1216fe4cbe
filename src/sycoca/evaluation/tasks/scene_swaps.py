"""``sycoca evaluate scene-swaps``."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sycoca.evaluation.tasks.inputs import OpenSources, TaskInputs
from sycoca.evaluation.tasks.task import EvaluationTask

if TYPE_CHECKING:
    from sycoca.evaluation.report import Report


@dataclass(frozen=True, kw_only=True, slots=True)
class Task(EvaluationTask):
    """Captions against hard negatives, as in ARO: colors, shapes or the relation swapped (built-in scenes)."""

    def open_data(self, sources: OpenSources) -> None:
        """Open the data, which must be scenes."""
        self.scenes(sources)

    def evaluate(self, inputs: TaskInputs) -> "Report":
        """Compare every caption with its hard negatives."""
        from sycoca.evaluation.scene_swaps import evaluate_scene_swaps

        return evaluate_scene_swaps(inputs.predictor, self.scenes(inputs.sources), **inputs.settings(self.limit))
