"""The configuration of fine-tuning for classification."""

from dataclasses import dataclass
from typing import Literal

from sycoca.training.recipes.finetune_config import FinetuneConfig
from sycoca.training.runtime_config import check_at_least


@dataclass(frozen=True, kw_only=True, slots=True)
class FinetuneClassificationConfig(FinetuneConfig):
    """Fine-tuning for image classification."""

    task: Literal["classification"]
    """The task to fine-tune for."""

    samples_per_class: int | None = None
    """Few-shot learning: the number of training samples per class, chosen by the seed; None takes all."""

    head_from_prompts: bool = False
    """Initialize the head as the zero-shot classifier; not with max pooling."""

    label_smoothing: float | None = None
    """Label smoothing, between 0 and 1; None for none."""

    mixup_alpha: float | None = None
    """Mixup with ratios from Beta(alpha, alpha); None for none."""

    drop_path: float | None = None
    """Stochastic depth (drop path) rate of the image encoder's last block, linearly less in earlier blocks; None for
    none."""

    def __post_init__(self) -> None:
        FinetuneConfig.__post_init__(self)
        if self.samples_per_class is not None:
            check_at_least("samples_per_class", self.samples_per_class, 1)
        if self.mixup_alpha is not None and self.mixup_alpha <= 0:
            raise ValueError(f"mixup_alpha must be positive, got {self.mixup_alpha}; None switches it off")
        for name in ("label_smoothing", "drop_path"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 1:
                raise ValueError(f"{name} must lie between 0 and 1, got {value}; None switches it off")

    @property
    def prevents_caching(self) -> dict[str, float | None]:
        """Mixup and stochastic depth."""
        return {"mixup_alpha": self.mixup_alpha, "drop_path": self.drop_path}
