"""The configuration of fine-tuning for visual question answering."""

from dataclasses import dataclass
from typing import Literal

from sycoca.metrics.vqa import References
from sycoca.objectives.config import AnswerLoss
from sycoca.training.recipes.finetune_config import FinetuneConfig
from sycoca.training.runtime_config import check_at_least


@dataclass(frozen=True, kw_only=True, slots=True)
class FinetuneVqaConfig(FinetuneConfig):
    """Fine-tuning for visual question answering."""

    task: Literal["vqa"]
    """The task to fine-tune for."""

    num_answers: int = 3129
    """Largest size of the answer vocabulary, the most frequent training answers (3,129 is VQA v2's convention).
    Training questions without an answer in it are skipped and counted."""

    loss: AnswerLoss = "binary_cross_entropy"
    """binary_cross_entropy (a sigmoid per answer, summed over answers) or cross_entropy (a softmax over answers)."""

    questions_per_image: int = 8
    """Largest number of questions per image in a batch; the image is encoded once for all of them.
    training.global_batch_size counts images. An image with more questions occurs several times per epoch."""

    references_are: References | None = None
    """Meaning of several reference answers: annotators (at least 4 independent answers per question, as in VQA v2) or
    members (of a set that is one joined answer, as in DAQUAR). None: annotators where every question has at least 4."""

    def __post_init__(self) -> None:
        FinetuneConfig.__post_init__(self)
        for name in ("num_answers", "questions_per_image"):
            check_at_least(name, getattr(self, name), 1)
