"""Configuration of the objectives. Imports no torch, so that presets load fast."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sycoca.facts.objective_facts import OBJECTIVES, ObjectiveName

ContrastiveLoss = Literal["softmax", "sigmoid", "decoupled"]
PixelError = Literal["squared", "absolute"]

HAS_LOGIT_BIAS: Mapping[ContrastiveLoss, bool] = {"softmax": False, "sigmoid": True, "decoupled": False}
"""Whether the model needs a learned bias of the logits, by contrastive loss; the others would cancel it."""

NUM_DIRECTIONS: Mapping[ContrastiveLoss, int] = {"softmax": 2, "sigmoid": 1, "decoupled": 2}
"""Terms that a pair has in the loss, whose mean is taken: image to text and text to image, or both in one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ObjectivesConfig:
    """The weights of the three objectives and the target of the third; components of weight zero are not built."""

    contrastive_weight: float = 1.0
    """Weight of the image-text contrastive loss, ITC (paper: 1)."""

    captioning_weight: float = 2.0
    """Weight of the captioning loss, IC (paper: 2); with 0 no text decoder is built."""

    masked_image_weight: float = 1.0
    """Weight of text-guided masked image modeling, TG-MIM (paper: 1); with 0 no image decoder is built."""

    contrastive_loss: ContrastiveLoss = "softmax"
    """How ITC compares pairs. softmax: InfoNCE in both directions (paper). sigmoid: whether each image and each caption
    belong together, one pair at a time, with a learned bias (SigLIP, arXiv 2303.15343). decoupled: InfoNCE without the
    pair itself in its denominator (DCL, arXiv 2110.06848), which keeps the gradient large in small batches."""

    captions_per_image: int = 1
    """Different captions of each image that ITC takes as its positives, drawn anew in each epoch (paper: 1). An image
    that has fewer gives what it has; all images weigh the same. IC and TG-MIM use the first caption alone."""

    contrastive_block_size: int | None = None
    """Rows of the contrastive logits that are in memory at a time, for very large batches; they are recomputed in the
    backward pass. None: all rows of the process at once."""

    pixel_error: PixelError = "squared"
    """Loss per reconstructed pixel: squared error as in MAE, or absolute error as in SimMIM."""

    normalizes_patches: bool = True
    """Normalize the target per patch (MAE's norm_pix_loss); without it the target is plain pixels."""

    def __post_init__(self) -> None:
        weights = tuple(self.weights.values())
        if min(weights) < 0:
            raise ValueError(f"objectives' weights must not be negative, got {weights}")
        if max(weights) == 0:
            raise ValueError("at least one objective needs a weight above 0")
        if self.contrastive_block_size is not None and self.contrastive_block_size < 1:
            raise ValueError(f"objectives.contrastive_block_size must be at least 1, got {self.contrastive_block_size}")
        self._check_captions_per_image()

    def _check_captions_per_image(self) -> None:
        if self.captions_per_image < 1:
            raise ValueError(f"objectives.captions_per_image must be at least 1, got {self.captions_per_image}")
        if self.captions_per_image > 1 and self.contrastive_weight == 0:
            raise ValueError(
                f"objectives.captions_per_image {self.captions_per_image} gives ITC more positives, and"
                " objectives.contrastive_weight is 0; set that, or leave out objectives.captions_per_image"
            )

    @property
    def needs_logit_bias(self) -> bool:
        """Whether the model has a learned bias of the logits, which ITC alone trains."""
        return self.contrastive_weight > 0 and HAS_LOGIT_BIAS[self.contrastive_loss]

    @property
    def weights(self) -> dict[ObjectiveName, float]:
        """The weights of all objectives by name, those of weight 0 included."""
        weights: dict[ObjectiveName, float] = {}
        for name, facts in OBJECTIVES.items():
            if facts.weight_field is not None:
                weights[name] = getattr(self, facts.weight_field)
        return weights
