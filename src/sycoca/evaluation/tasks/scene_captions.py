"""``sycoca evaluate scene-captions``."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sycoca.evaluation.tasks.inputs import OpenSources, TaskInputs
from sycoca.evaluation.tasks.task import EvaluationTask
from sycoca.inference.decoding.generation_config import GenerationConfig

if TYPE_CHECKING:
    from sycoca.evaluation.report import Report
    from sycoca.facts.limit_facts import AbilityName


@dataclass(frozen=True, kw_only=True, slots=True)
class Task(EvaluationTask):
    """Correctness and detail of generated captions (built-in scenes)."""

    self_retrieval: bool = False
    """Also measure how often a caption finds its own scene among all that are captioned, by the model's own encoders.
    Chance is 1 / scenes."""

    generation: GenerationConfig = field(default_factory=GenerationConfig)
    """Decoding."""

    @property
    def abilities(self) -> "tuple[AbilityName, ...]":
        """Captions."""
        return ("captions",)

    def open_data(self, sources: OpenSources) -> None:
        """Open the data, which must be scenes."""
        self.scenes(sources)

    def evaluate(self, inputs: TaskInputs) -> "Report":
        """Caption the scenes and check every statement."""
        from sycoca.evaluation.scene_captions import evaluate_scene_captions

        return evaluate_scene_captions(
            inputs.predictor,
            self.scenes(inputs.sources),
            generation=self.generation,
            self_retrieval=inputs.model.embeddings if self.self_retrieval else None,
            **inputs.settings(self.limit),
        )
