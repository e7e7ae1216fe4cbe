"""Configuration of the objectives. Imports no torch, so that presets load fast."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sycoca.facts.objective_facts import OBJECTIVES, ObjectiveName

ContrastiveLoss = Literal["softmax", "sigmoid"]
PixelError = Literal["squared", "absolute"]
WordWeighting = Literal["equal", "rare"]
EncodedPatches = Literal["all", "seen"]

HAS_LOGIT_BIAS: Mapping[ContrastiveLoss, bool] = {"softmax": False, "sigmoid": True}
"""Whether the model needs a learned bias of the logits, by contrastive loss; softmax would cancel it."""

LEAVES_OUT_PATCHES: Mapping[EncodedPatches, bool] = {"all": False, "seen": True}
"""Whether images are encoded without some of their patches, which a pass before has to choose."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ObjectivesConfig:
    """The weights of the objectives and the target of TG-MIM; components of weight zero are not built."""

    contrastive_weight: float = 1.0
    """Weight of the image-text contrastive loss, ITC (paper: 1)."""

    captioning_weight: float = 2.0
    """Weight of the captioning loss, IC (paper: 2); with 0 no text decoder is built."""

    masked_image_weight: float = 1.0
    """Weight of text-guided masked image modeling, TG-MIM (paper: 1); with 0 no image decoder is built."""

    encoded_patches: EncodedPatches = "all"
    """The patches that the image encoder encodes for ITC and IC in training. all: the whole image (paper). seen: those
    that captioning sees; a pass without gradient ranks them first, so the gradient covers one image in place of one and
    a half (attentive masks for CLIP, A-CLIP, arXiv 2212.08653)."""

    patch_word_weight: float = 0.0
    """Weight of a contrastive loss of patches and words, which trains the token-wise similarity that masking.score
    token_max ranks patches by (FILIP, arXiv 2111.07783; the paper trains it not at all)."""

    patch_word_group_size: int = 32
    """Pairs whose patches and words are compared with each other: so many consecutive ones of the global batch. A
    micro-batch is a multiple of it, or the whole batch."""

    patch_word_weighting: WordWeighting = "equal"
    """How much a word counts in a caption's similarity to an image. equal: all the same (FILIP). rare: the more, the
    fewer captions of the group have it, by the inverse document frequency."""

    contrastive_loss: ContrastiveLoss = "softmax"
    """How ITC compares pairs. softmax: InfoNCE in both directions (paper). sigmoid: whether each image and each caption
    belong together, one pair at a time, with a learned bias (SigLIP, arXiv 2303.15343)."""

    contrastive_block_size: int | None = None
    """Rows of the contrastive logits that are in memory at a time, for very large batches; they are recomputed in the
    backward pass. None: all rows of the process at once. The same of the images of a group of patches and words."""

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
        if self.patch_word_group_size < 2:
            raise ValueError(
                "objectives.patch_word_group_size must be at least 2, for a pair needs others to be compared with,"
                f" got {self.patch_word_group_size}"
            )
        if self.contrastive_block_size is not None and self.contrastive_block_size < 1:
            raise ValueError(f"objectives.contrastive_block_size must be at least 1, got {self.contrastive_block_size}")

    @property
    def needs_logit_bias(self) -> bool:
        """Whether the model has a learned bias of the logits, which ITC alone trains."""
        return self.contrastive_weight > 0 and HAS_LOGIT_BIAS[self.contrastive_loss]

    def check_encoded_patches(self, *, hides_from_captioning: bool, masks_in_image_encoder: bool) -> None:
        """Raise ValueError where other settings contradict ``encoded_patches``."""
        if not LEAVES_OUT_PATCHES[self.encoded_patches]:
            return
        if not hides_from_captioning:
            raise ValueError(
                "objectives.encoded_patches is 'seen', but captioning sees all patches: set it to 'all', or"
                " masking.hides_from_captioning (in fine-tuning hides_from_captioning)"
            )
        if masks_in_image_encoder and self.masked_image_weight > 0:
            raise ValueError(
                "objectives.encoded_patches 'seen' saves the pass that mask tokens in the image encoder need: set it to"
                " 'all', or model.image_decoder.mask_tokens to 'decoder'"
            )

    @property
    def encoded_anew(self) -> Mapping[str, float | str | None]:
        """The settings with which other patches of an image are encoded in every step; None for those that are off."""
        return {
            "objectives.masked_image_weight": self.masked_image_weight or None,
            "objectives.encoded_patches": self.encoded_patches if LEAVES_OUT_PATCHES[self.encoded_patches] else None,
        }

    @property
    def compares_samples(self) -> bool:
        """Whether pairs are negatives of each other, unless they are copies."""
        return self.contrastive_weight > 0 or self.patch_word_weight > 0

    @property
    def weights(self) -> dict[ObjectiveName, float]:
        """The weights of all objectives by name, those of weight 0 included."""
        weights: dict[ObjectiveName, float] = {}
        for name, facts in OBJECTIVES.items():
            if facts.weight_field is not None:
                weights[name] = getattr(self, facts.weight_field)
        return weights
