"""``sycoca evaluate captioning``."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sycoca.evaluation.tasks.inputs import TaskInputs
from sycoca.evaluation.tasks.task import EvaluationTask
from sycoca.inference.decoding.generation_config import GenerationConfig

if TYPE_CHECKING:
    from sycoca.evaluation.report import Report
    from sycoca.facts.limit_facts import AbilityName


@dataclass(frozen=True, kw_only=True, slots=True)
class Task(EvaluationTask):
    """Captions against references: BLEU-1 to 4, ROUGE-L, CIDEr (CIDEr-D) and METEOR, computed as in COCO's evaluation.

    BLEU, ROUGE-L and CIDEr need no Java. METEOR does, and pip install 'sycoca[captions]'; where one is missing the
    report says so. CIDEr weighs words by how rare they are in the references of this very set.
    """

    predictions: Path | None = None
    """Write the captions to this file in COCO's result format, [{"image_id", "caption"}]."""

    meteor: bool = True
    """Compute METEOR, if Java and pycocoevalcap are installed."""

    self_retrieval: bool = False
    """Also measure how often a caption finds its own image among all that are captioned, by the model's own encoders:
    how much captions tell images apart. Chance is 1 / images."""

    generation: GenerationConfig = field(default_factory=GenerationConfig)
    """Decoding."""

    @property
    def predictions_file(self) -> Path | None:
        """The file of --predictions."""
        return self.predictions

    @property
    def abilities(self) -> "tuple[AbilityName, ...]":
        """Captions."""
        return ("captions",)

    def evaluate(self, inputs: TaskInputs) -> "Report":
        """Caption the images and compare with their references."""
        from sycoca.evaluation.captioning import CaptioningOptions, evaluate_captioning

        options = CaptioningOptions(
            generation=self.generation,
            with_meteor=self.meteor,
            predictions=self.predictions,
        )
        return evaluate_captioning(
            inputs.predictor,
            self.source(inputs),
            options=options,
            self_retrieval=inputs.model.embeddings if self.self_retrieval else None,
            **inputs.settings(self.limit),
        )
