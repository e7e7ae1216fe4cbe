"""The configuration of a fine-tuning for classification."""

from dataclasses import dataclass
from typing import Literal

from sycoca.training.recipes.finetune_config import FinetuneConfig


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
