"""``sycoca evaluate grounding``."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sycoca.cli.evaluate.arguments import EvaluationArguments

if TYPE_CHECKING:
    from sycoca.evaluation.report import Report


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments(EvaluationArguments):
    """Patch scores against the pixels that captions describe (built-in scenes)."""

    def report(self) -> "Report":
        """Evaluate."""
        from sycoca.evaluation.grounding import evaluate_grounding

        source = self.source()
        return evaluate_grounding(self.predictor(), source, **self.settings())
