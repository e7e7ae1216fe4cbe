"""The configuration of a fine-tuning for visual question answering."""

from dataclasses import dataclass
from typing import Literal

from sycoca.training.recipes.finetune_config import FinetuneConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class FinetuneVqaConfig(FinetuneConfig):
    """Fine-tuning on questions about images."""

    task: Literal["vqa"]
    """What the model is fine-tuned for."""

    num_answers: int = 3129
    """Most answers that the model learns to choose from, the most frequent ones of training (3,129 is VQA v2's
    convention); questions that none of them suits are left out of training, and counted."""

    loss: Literal["binary_cross_entropy", "cross_entropy"] = "binary_cross_entropy"
    """binary_cross_entropy judges every answer by itself, summed over answers; with cross_entropy they compete."""

    questions_per_image: int = 8
    """Most questions about one image that go through the model together, so that it is encoded once for all of them;
    training.global_batch_size counts images. An image with more questions is seen several times in an epoch."""

    references_are: Literal["annotators", "members"] | None = None
    """What several reference answers are: annotators' opinions (at least 4 each) or the members of a set, which is
    learned as one answer. None takes annotators where every question has at least 4 answers."""

    def __post_init__(self) -> None:
        for name in ("num_answers", "questions_per_image"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
