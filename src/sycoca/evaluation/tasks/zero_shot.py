"""``sycoca evaluate zero-shot``."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sycoca.evaluation.class_options import ClassOptions, Unlabeled
from sycoca.evaluation.tasks.inputs import OpenSources, TaskInputs
from sycoca.evaluation.tasks.task import EvaluationTask

if TYPE_CHECKING:
    from sycoca.evaluation.report import Report
    from sycoca.evaluation.zero_shot import ZeroShotPrompts
    from sycoca.facts.limit_facts import AbilityName


@dataclass(frozen=True, kw_only=True, slots=True)
class Task(EvaluationTask):
    """Zero-shot classification with prompts for classes: top-1, top-5 and mean per-class accuracy."""

    unlabeled: Unlabeled = "error"
    """What to do with images whose label is missing or is none of the classes; skipped ones are counted."""

    prompts: ClassOptions = field(default_factory=ClassOptions)
    """Classes and prompts; without --class-names the classes are all labels of the data."""

    @property
    def abilities(self) -> "tuple[AbilityName, ...]":
        """Likelihoods of captions for the scorer "likelihood"."""
        from sycoca.inference.classification import scorer_ability

        return (scorer_ability(self.prompts.scorer),)

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
