"""What is minimized. Imports no torch, so that presets load at once."""

from dataclasses import dataclass
from typing import Literal

from sycoca.facts.objective_facts import OBJECTIVES, ObjectiveName

PixelError = Literal["squared", "absolute"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ObjectivesConfig:
    """The weights of the three objectives and the form of the third; a component of weight zero is not built."""

    contrastive_weight: float = 1.0
    """Factor of the image-text contrastive objective, ITC (paper: 1)."""

    captioning_weight: float = 2.0
    """Factor of image captioning, IC (paper: 2); 0 builds no text decoder."""

    masked_image_weight: float = 1.0
    """Factor of text-guided masked image modeling, TG-MIM (paper: 1); 0 builds no image decoder."""

    pixel_error: PixelError = "squared"
    """Error of a reconstructed pixel: squared as in MAE, or absolute as in SimMIM."""

    normalizes_patches: bool = True
    """Whether the target is every patch normalized by its own mean and deviation (MAE), or plain pixels."""

    def __post_init__(self) -> None:
        weights = tuple(self.weights.values())
        if min(weights) < 0:
            raise ValueError(f"objectives' weights must not be negative, got {weights}")
        if max(weights) == 0:
            raise ValueError("at least one objective needs a weight above 0")

    @property
    def weights(self) -> dict[ObjectiveName, float]:
        """The weights of all objectives by name, those of weight 0 included."""
        weights: dict[ObjectiveName, float] = {}
        for name, facts in OBJECTIVES.items():
            if facts.weight_field is not None:
                weights[name] = getattr(self, facts.weight_field)
        return weights
