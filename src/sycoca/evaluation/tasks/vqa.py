"""``sycoca evaluate vqa``."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sycoca.evaluation.tasks.inputs import TaskInputs
from sycoca.evaluation.tasks.task import EvaluationTask
from sycoca.inference.decoding.generation_config import GenerationConfig
from sycoca.metrics.vqa import References

if TYPE_CHECKING:
    from sycoca.evaluation.report import Report
    from sycoca.inference.predictor import Predictor


@dataclass(frozen=True, kw_only=True, slots=True)
class Task(EvaluationTask):
    """Visual question answering: the official VQA accuracy, or equality with one reference answer or a set."""

    open_ended: bool = False
    """Generate answers with the text decoder, instead of choosing from the fine-tuned model's answer list."""

    references_are: References | None = None
    """What several reference answers of a question are: one per annotator (vqa_accuracy, at least 4 each) or the
    members of a set (answer_accuracy). None: annotators if every question has at least 4 answers."""

    predictions: Path | None = None
    """Write the answers to this file in VQA's result format, [{"question_id", "answer"}]."""

    generation: GenerationConfig = field(default_factory=GenerationConfig)
    """Decoding of open-ended answers."""

    @property
    def predictions_file(self) -> Path | None:
        """The file of --predictions."""
        return self.predictions

    def check_model(self, predictor: "Predictor") -> None:
        """Raise ValueError where the model has no list of answers to choose from, or no decoder to write them."""
        from sycoca.inference.vqa import listed_answers

        if self.open_ended:
            predictor.check_ability("captions")
        else:
            listed_answers(predictor.config)
            if self.generation != GenerationConfig():
                raise ValueError(
                    "answers are generated with --open-ended only: add it, or leave out the decoding options"
                )

    def evaluate(self, inputs: TaskInputs) -> "Report":
        """Answer the questions and compare with the reference answers."""
        from sycoca.evaluation.vqa import VqaOptions, evaluate_vqa

        options = VqaOptions(
            open_ended=self.generation if self.open_ended else None,
            references_are=self.references_are,
            predictions=self.predictions,
        )
        return evaluate_vqa(inputs.predictor, self.source(inputs), options=options, **inputs.settings(self.limit))
