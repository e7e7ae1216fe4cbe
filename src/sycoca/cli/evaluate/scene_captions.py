"""``sycoca evaluate scene-captions``."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sycoca.cli.evaluate.arguments import EvaluationArguments
from sycoca.inference.generation_config import GenerationConfig

if TYPE_CHECKING:
    from sycoca.evaluation.report import Report


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments(EvaluationArguments):
    """Truth and detail of generated captions (built-in scenes)."""

    generation: GenerationConfig = field(default_factory=GenerationConfig)
    """How captions are generated."""

    def prepare(self) -> None:
        """Open what is named, which must be scenes."""
        self.scenes()
        self.predictor()

    def report(self) -> "Report":
        """Evaluate."""
        from sycoca.evaluation.scene_captions import evaluate_scene_captions

        source = self.scenes()
        return evaluate_scene_captions(self.predictor(), source, generation=self.generation, **self.settings())
