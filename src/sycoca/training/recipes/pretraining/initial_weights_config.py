"""The weights that a pretraining starts from, as typed values. Imports no torch, so that presets load at once."""

from dataclasses import dataclass
from typing import Literal

StartPart = Literal["image_encoder", "text_encoder", "text_decoder", "image_decoder", "log_logit_scale"]
"""A part of the model that weights may hold; the last is the temperature."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InitialWeightsConfig:
    """The weights that training starts from; without them all of the model is new."""

    weights: str | None = None
    """A weights folder, of a whole model or of an image encoder alone, or hf:owner/name[@revision] at the Hugging Face
    Hub. Parts that it holds are filled from it and have its sizes and forms; the tokenizer is its own, as are the
    pixels' mean and deviation where they are left at their defaults."""

    image_size: int | None = None
    """Side of the images in pixels; None keeps that of the weights. Position embeddings are interpolated."""

    frozen: tuple[StartPart, ...] = ()
    """Parts that do not change; what they lack in the weights is new and learns all the same."""

    lr_ratio: float = 1.0
    """Learning rate of what was loaded, as a share of that of new tensors."""

    def __post_init__(self) -> None:
        changed = [name for name in ("image_size", "frozen", "lr_ratio") if getattr(self, name) not in (None, (), 1.0)]
        if self.weights is None and changed:
            raise ValueError(f"start.{changed[0]} is set, but nothing is loaded; name the weights with --start.weights")
        if self.image_size is not None and self.image_size < 1:
            raise ValueError(f"start.image_size must be at least 1, got {self.image_size}")
        if not 0 < self.lr_ratio <= 1:
            raise ValueError(f"start.lr_ratio must lie in (0, 1], got {self.lr_ratio}; start.frozen stops whole parts")
