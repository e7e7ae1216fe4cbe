"""The configuration that all fine-tunings share. Imports no torch, so that help loads at once."""

from dataclasses import dataclass
from typing import ClassVar

from sycoca.facts.training_facts import FinetuneTask
from sycoca.preprocess.config import ImageTransformConfig
from sycoca.training.config import RunConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class FinetuneConfig(RunConfig):
    """The configuration of any fine-tuning."""

    command: ClassVar[str] = "finetune"

    task: FinetuneTask
    """The task to fine-tune for."""

    weights: str
    """The pretrained weights: a weights folder, or hf:owner/name[@revision] at the Hugging Face Hub."""

    random_weights: bool = False
    """Train from scratch with the weights' sizes and tokenizer, as a baseline without pretraining."""

    transforms: ImageTransformConfig | None = None
    """Image preprocessing and augmentation; None takes those of the pretrained weights."""

    image_size: int | None = None
    """Image resolution in pixels, a multiple of the patch size; position embeddings are interpolated. None keeps the
    resolution of pretraining."""
