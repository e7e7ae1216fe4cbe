"""The configuration that all fine-tunings share. Imports no torch, so that help loads at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from sycoca.facts.training_facts import FinetuneTask
from sycoca.preprocess.config import ImageTransformConfig
from sycoca.texts import refuse_text
from sycoca.training.config import RunConfig
from sycoca.training.recipes.frozen_parts_config import FreezablePart, check_cached_views
from sycoca.training.runtime_config import check_at_least, check_positive

AdaptablePart = Literal["image_encoder", "text_encoder", "text_decoder", "image_decoder"]
"""A part of the model with attention and MLP layers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoraConfig:
    """Low-rank adapters (LoRA, arXiv 2106.09685): small updates are trained beside frozen matrices."""

    rank: int | None = None
    """Rank of the update of each attention and MLP matrix. Only the updates and new heads are trained and saved, as an
    adapter that names its base. None trains all weights."""

    alpha: float = 16.0
    """The updates are multiplied by alpha / rank."""

    parts: tuple[AdaptablePart, ...] = ()
    """Parts with adapters; empty: all that are not frozen."""

    def __post_init__(self) -> None:
        refuse_text(self.parts, "lora.parts")
        if self.rank is None and (self.parts or self.alpha != 16.0):
            raise ValueError("lora.parts and lora.alpha need a rank: set --lora.rank 8, for example")
        if self.rank is not None:
            check_at_least("lora.rank", self.rank, 1)
        check_positive("lora.alpha", self.alpha)


@dataclass(frozen=True, kw_only=True, slots=True)
class FinetuneConfig(RunConfig):
    """The configuration of any fine-tuning."""

    command: ClassVar[str] = "finetune"

    task: FinetuneTask
    """The task to fine-tune for."""

    weights: str
    """The pretrained weights: a weights folder, or hf:owner/name[@revision] at the Hugging Face Hub."""

    frozen: tuple[FreezablePart, ...] = ()
    """Parts whose pretrained tensors are frozen; a new head is trained all the same."""

    lora: LoraConfig = LoraConfig()
    """Low-rank adapters in place of training all weights."""

    random_weights: bool = False
    """Train from scratch with the weights' sizes and tokenizer, as a baseline without pretraining."""

    transforms: ImageTransformConfig | None = None
    """Image preprocessing and augmentation; None takes those of the pretrained weights."""

    image_size: int | None = None
    """Image resolution in pixels, a multiple of the patch size; position embeddings are interpolated. None keeps the
    resolution of pretraining."""

    def __post_init__(self) -> None:
        refuse_text(self.frozen, "frozen")
        if self.frozen and self.random_weights:
            raise ValueError(f"frozen names {self.frozen[0]}, but random_weights loads nothing; leave one of them out")
        if self.lora.rank is not None and self.random_weights:
            raise ValueError("lora.rank: adapters belong to pretrained weights, and random_weights loads none")
        both = [part for part in self.lora.parts if part in self.frozen]
        if both:
            raise ValueError(f"lora.parts names {both[0]}, and frozen too; a frozen part has no adapters")
        check_cached_views(self.data, self.frozen, "--frozen", self.prevents_caching)

    @property
    def prevents_caching(self) -> Mapping[str, float | str | None]:
        """The settings with which an image must be encoded in every step; None for those that are off."""
        return {}
