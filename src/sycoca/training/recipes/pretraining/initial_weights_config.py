"""The configuration of pretraining's initial weights. Imports no torch, so that presets load at once."""

from dataclasses import dataclass

from sycoca.texts import refuse_text
from sycoca.training.recipes.frozen_parts_config import FreezablePart
from sycoca.training.runtime_config import check_at_least


@dataclass(frozen=True, kw_only=True, slots=True)
class InitialWeightsConfig:
    """Initial weights; without them training starts from scratch."""

    weights: str | None = None
    """A weights folder of a whole model or of an image encoder alone, or hf:owner/name[@revision] at the Hugging Face
    Hub. Its parts are loaded with their sizes and options, and its tokenizer, if any, as well as the pixel mean and
    standard deviation unless transforms sets others. None trains from scratch."""

    image_size: int | None = None
    """Image resolution in pixels; position embeddings are interpolated. None keeps the resolution of the weights."""

    frozen: tuple[FreezablePart, ...] = ()
    """Parts whose loaded tensors are frozen; tensors that the weights lack are trained all the same."""

    lr_ratio: float = 1.0
    """Learning rate of the loaded tensors, as a ratio of that of new tensors."""

    def __post_init__(self) -> None:
        refuse_text(self.frozen, "start.frozen")
        changed = [name for name in ("image_size", "frozen", "lr_ratio") if getattr(self, name) not in (None, (), 1.0)]
        if self.weights is None and changed:
            raise ValueError(f"start.{changed[0]} is set, but nothing is loaded; name the weights with --start.weights")
        if self.image_size is not None:
            check_at_least("start.image_size", self.image_size, 1)
        if not 0 < self.lr_ratio <= 1:
            raise ValueError(
                f"start.lr_ratio must lie in (0, 1], got {self.lr_ratio}; start.frozen freezes whole parts"
            )
