"""``sycoca evaluate probe``."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sycoca.evaluation.embedded import EmbeddingKind
from sycoca.evaluation.tasks.inputs import OpenSources, TaskInputs
from sycoca.evaluation.tasks.task import EvaluationTask

if TYPE_CHECKING:
    from sycoca.evaluation.report import Report


@dataclass(frozen=True, kw_only=True, slots=True)
class Task(EvaluationTask):
    """Linear probe: logistic regression on frozen image features. Needs pip install 'sycoca[probe]'."""

    train: str
    """Training data with labels, as a SPEC; the probe is evaluated on --data."""

    validation: str | None = None
    """Data as a SPEC to choose the regularization strength on; None takes a fifth of every class of --train."""

    samples_per_class: int | None = None
    """Few-shot: train on N random samples of every class."""

    seed: int = 0
    """Seed of the few-shot samples and of the validation split."""

    vectors: EmbeddingKind = "features"
    """features: pooled images before their projection into the joint space. embedding: after it, L2-normalized."""

    def open_data(self, sources: OpenSources) -> None:
        """Open test, training and validation data."""
        for spec in (self.train, self.data, self.validation):
            if spec is not None:
                sources.source(spec)

    def evaluate(self, inputs: TaskInputs) -> "Report":
        """Train the probe and measure it."""
        from sycoca.evaluation.probe import ProbeTraining, evaluate_probe

        usable = inputs.sources.usable
        training = ProbeTraining(
            train=usable(self.train, self.max_skipped_ratio, None),
            validation=None if self.validation is None else usable(self.validation, self.max_skipped_ratio, None),
            samples_per_class=self.samples_per_class,
            seed=self.seed,
            vectors=self.vectors,
        )
        return evaluate_probe(
            inputs.predictor,
            self.source(inputs),
            training=training,
            embeddings=inputs.model.embeddings,
            **inputs.settings(self.limit),
        )
