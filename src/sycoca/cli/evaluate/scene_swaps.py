"""``sycoca evaluate scene-swaps``."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sycoca.cli.evaluate.arguments import EvaluationArguments

if TYPE_CHECKING:
    from sycoca.evaluation.report import Report


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments(EvaluationArguments):
    """Captions against themselves with colors, shapes or relation exchanged (built-in scenes)."""

    def prepare(self) -> None:
        """Open what is named, which must be scenes."""
        self.scenes()
        self.predictor()

    def report(self) -> "Report":
        """Evaluate."""
        from sycoca.evaluation.scene_swaps import evaluate_scene_swaps

        source = self.scenes()
        return evaluate_scene_swaps(self.predictor(), source, **self.settings())
