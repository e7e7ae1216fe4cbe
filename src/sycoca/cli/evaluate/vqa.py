"""``sycoca evaluate vqa``."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sycoca.cli.evaluate.arguments import EvaluationArguments
from sycoca.inference.generation_config import GenerationConfig

if TYPE_CHECKING:
    from sycoca.evaluation.report import Report


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments(EvaluationArguments):
    """Visual question answering: the official VQA accuracy, or equality with one reference answer or a set."""

    open_ended: bool = False
    """Let the text decoder write answers after the question, instead of choosing from the fine-tuned model's list."""

    references_are: Literal["annotators", "members"] | None = None
    """What several reference answers are: annotators' opinions (vqa_accuracy, at least 4 each) or the members of a set
    (answer_accuracy). None takes annotators where every question has at least 4 answers."""

    predictions: Path | None = None
    """Write the answers to this file in VQA's result format, [{"question_id", "answer"}]."""

    generation: GenerationConfig = field(default_factory=GenerationConfig)
    """How open-ended answers are generated."""

    def prepare(self) -> None:
        """Open what is named, and see whether the model can answer in the way that is asked for."""
        from sycoca.inference.answering import listed_answers

        EvaluationArguments.prepare(self)
        if not self.open_ended:
            listed_answers(self.predictor().config)
            if self.generation != GenerationConfig():
                raise ValueError("answers are generated only with --open-ended: add it, or leave out how to generate")

    def report(self) -> "Report":
        """Evaluate."""
        from sycoca.evaluation.vqa import AnsweringOptions, evaluate_vqa

        self.prepare()
        source = self.source()
        options = AnsweringOptions(
            open_ended=self.generation if self.open_ended else None,
            references_are=self.references_are,
            predictions=self.predictions,
        )
        return evaluate_vqa(self.predictor(), source, options=options, **self.settings())
