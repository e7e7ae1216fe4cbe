"""What a fine-tuning run is made of, as typed values. Imports no torch, so that help loads at once."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from sycoca.objectives.config import ObjectivesConfig
from sycoca.preprocess.config import ImageTransformConfig
from sycoca.training.config import RunConfig

FinetuneTask = Literal["retrieval", "captioning", "vqa", "classification"]
"""What a pretrained model can be fine-tuned for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FinetuneConfig(RunConfig):
    """What every fine-tuning has."""

    command: ClassVar[str] = "finetune"

    task: FinetuneTask
    """What the model is fine-tuned for."""

    weights: str
    """What it starts from: a weights folder, or hf:owner/name[@revision] at the Hugging Face Hub."""

    random_weights: bool = False
    """Draw all weights anew and keep sizes and tokenizer only: what the same training reaches without pretraining."""

    transforms: ImageTransformConfig | None = None
    """From pictures to pixels; None takes what the model was pretrained with."""

    image_size: int | None = None
    """Side of the images in pixels, a multiple of the patches': more of them show smaller things and cost more.
    Position embeddings are interpolated; None keeps the size of pretraining."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FinetunePairsConfig(FinetuneConfig):
    """Fine-tuning on images and captions."""

    task: Literal["retrieval", "captioning"]
    """What the model is fine-tuned for."""

    objectives: ObjectivesConfig = field(default_factory=lambda: ObjectivesConfig(masked_image_weight=0.0))
    """What is minimized; a component whose objective has weight zero is left behind."""

    hides_from_captioning: bool = False
    """Whether the captioner sees only its share of the patches, as in pretraining; by default all, as in use."""


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


@dataclass(frozen=True, kw_only=True, slots=True)
class FinetuneClassificationConfig(FinetuneConfig):
    """Fine-tuning on images and their classes."""

    task: Literal["classification"]
    """What the model is fine-tuned for."""

    samples_per_class: int | None = None
    """Train on so many samples of every class, drawn by the seed (few-shot learning); None takes all."""

    head_from_prompts: bool = False
    """Whether the head begins as the zero-shot classifier instead of knowing nothing; not with max pooling."""

    label_smoothing: float | None = None
    """Part of every target that is spread over all classes, between 0 and 1; None for none."""

    mixup_alpha: float | None = None
    """Mix every image with another, in ratios from Beta(alpha, alpha); None mixes none."""

    drop_path: float | None = None
    """Probability to go past the attention, or the MLP, of the last block, less in those before; None for never."""

    def __post_init__(self) -> None:
        if self.samples_per_class is not None and self.samples_per_class < 1:
            raise ValueError(f"samples_per_class must be at least 1, got {self.samples_per_class}")
        if self.mixup_alpha is not None and self.mixup_alpha <= 0:
            raise ValueError(f"mixup_alpha must be positive, got {self.mixup_alpha}; leave it out to mix nothing")
        for name in ("label_smoothing", "drop_path"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 1:
                raise ValueError(f"{name} must lie between 0 and 1, got {value}; leave it out for none")


CONFIGS: dict[str, type[FinetuneConfig]] = {
    "retrieval": FinetunePairsConfig,
    "captioning": FinetunePairsConfig,
    "vqa": FinetuneVqaConfig,
    "classification": FinetuneClassificationConfig,
}
"""The kind of config of each task."""
