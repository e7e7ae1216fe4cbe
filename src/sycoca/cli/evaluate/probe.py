"""``sycoca evaluate probe``."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sycoca.cli.evaluate.arguments import EvaluationArguments

if TYPE_CHECKING:
    from sycoca.evaluation.report import Report


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments(EvaluationArguments):
    """Linear probe: logistic regression on frozen image features. Needs pip install 'sycoca[probe]'."""

    train: str
    """Training data with labels as a SPEC; --data is what the probe is measured on."""

    validation: str | None = None
    """Data as a SPEC that chooses the strength of regularization; None takes a fifth of every class of --train."""

    samples_per_class: int | None = None
    """Train on so many samples of every class (few-shot), drawn by --seed; None takes all."""

    seed: int = 0
    """Draws few samples, and the part of the training data that chooses the strength."""

    vectors: Literal["features", "embedding"] = "features"
    """features: pooled images before their projection into the joint space. embedding: after it, L2-normalized."""

    def prepare(self) -> None:
        """Open what is named, training and validation data too."""
        for spec in (self.train, self.data, self.validation):
            if spec is not None:
                self.context.source(spec)
        self.predictor()

    def report(self) -> "Report":
        """Evaluate."""
        from sycoca.evaluation.probe import ProbeTraining, evaluate_probe

        open_other = self.context.usable_source
        training = ProbeTraining(
            train=open_other(self.train, self.max_skipped_ratio, None),
            validation=None if self.validation is None else open_other(self.validation, self.max_skipped_ratio, None),
            samples_per_class=self.samples_per_class,
            seed=self.seed,
            vectors=self.vectors,
        )
        source = self.source()
        return evaluate_probe(
            self.predictor(), source, training=training, embeddings=self.embeddings(), **self.settings()
        )
