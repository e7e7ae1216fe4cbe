"""What a fine-tuning run is made of, as typed values. Imports no torch, so that help loads at once."""

from dataclasses import dataclass
from typing import ClassVar, Literal

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
