"""The options of every evaluation."""

import inspect
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tyro.conf import Positional

from sycoca.cli.shared.report_arguments import ReportArguments
from sycoca.cli.shared.results import tell
from sycoca.evaluation.tasks.registry import task_class
from sycoca.evaluation.tasks.task import EvaluationTask
from sycoca.inference.model_options import ModelOptions

if TYPE_CHECKING:
    from sycoca.evaluation.report import Report

T = TypeVar("T", bound=EvaluationTask)


def described_arguments(task: str) -> tuple[Any, str]:
    """Return the dataclass to parse for a task of `TASKS`, and the task's description."""
    kind = task_class(task)
    return EvaluationArguments[kind], inspect.getdoc(kind) or ""


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationArguments(ReportArguments, Generic[T]):
    """The arguments of an evaluation: model and task."""

    weights: Positional[str]
    """A weights folder, or hf:owner/name[@revision] on the Hugging Face Hub."""

    task: T
    """The evaluation and its data."""

    model: ModelOptions = field(default_factory=ModelOptions)
    """Device and precision."""

    def show(self, report: "Report") -> None:
        """Save or print a report, and say where the predictions are."""
        super(EvaluationArguments, self).show(report)
        if self.task.predictions_file is not None:
            tell("predictions", self.task.predictions_file)

    def inputs(self) -> tuple[Path, ...]:
        """Return what model and task read."""
        from sycoca.evaluation.sections import Section

        return Section(task=self.task, weights=self.weights, model=self.model).inputs

    def report(self) -> "Report":
        """Evaluate. Raises ValueError before anything runs where data or model is missing or does not fit."""
        from sycoca.cli.shared.logs import stderr_console
        from sycoca.evaluation.evaluate_all import evaluate_task

        return evaluate_task(
            self.weights, self.task, model=self.model, overwrite=self.overwrite, console=stderr_console()
        )
