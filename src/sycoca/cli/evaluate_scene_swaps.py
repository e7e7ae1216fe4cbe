"""``sycoca evaluate scene-swaps``."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sycoca.cli.evaluation_arguments import EvaluationArguments

if TYPE_CHECKING:
    from sycoca.evaluation.report import Report


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments(EvaluationArguments):
    """Captions against themselves with colors, shapes or relation exchanged (built-in scenes)."""

    def report(self) -> "Report":
        """Evaluate."""
        from sycoca.data.scenes import ScenesSource
        from sycoca.evaluation.scene_swaps import evaluate_scene_swaps

        source = self.context.source(self.data)
        if not isinstance(source, ScenesSource):
            raise ValueError(f"{self.data} is not made of scenes; give --data 'scenes:?split=test'")
        return evaluate_scene_swaps(self.predictor(), source, **self.settings())
