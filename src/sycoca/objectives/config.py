"""Configuration of the objectives. Imports no torch, so that presets load fast."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from sycoca.facts.objective_facts import OBJECTIVES, ObjectiveName

ContrastiveLoss = Literal["softmax", "sigmoid", "decoupled"]
PixelError = Literal["squared", "absolute"]
WordWeighting = Literal["equal", "rare"]
EncodedPatches = Literal["all", "seen"]

AnswerLoss = Literal["binary_cross_entropy", "cross_entropy"]
"""The loss of VQA: whether answers are independent (sigmoid), or mutually exclusive (softmax)."""

HAS_LOGIT_BIAS: Mapping[ContrastiveLoss, bool] = {"softmax": False, "sigmoid": True, "decoupled": False}
"""Whether the model needs a learned bias of the logits, by contrastive loss; the others would cancel it."""

NUM_DIRECTIONS: Mapping[ContrastiveLoss, int] = {"softmax": 2, "sigmoid": 1, "decoupled": 2}
"""Terms that a pair has in the loss, whose mean is taken: image to text and text to image, or both in one."""

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

    masked_feature_weight: float = 0.0
    """Weight of the error of masked patches' features, which TG-MIM then predicts beside their pixels. The features
    are those of a slow-moving teacher, the image encoder with the averaged weights of training.average_decay (as in
    data2vec, arXiv 2202.03555); not in the paper."""

    masked_image_every: int = 1
    """TG-MIM is trained in one of so many steps, those whose number it divides. The others save the second pass of the
    image encoder and the image decoder, which they leave as it is. The weight in the steps with TG-MIM stays
    masked_image_weight, so over all steps TG-MIM counts that much less. 1: in every step (paper)."""

    masked_image_from: float = 0.0
    """Fraction of training before which TG-MIM is left out, below 1 (masked_image_weight 0 leaves it out to the end);
    0: TG-MIM from the first step (paper)."""

    encoded_patches: EncodedPatches = "all"
    """The patches that the image encoder encodes for ITC and IC in training. all: the whole image (paper). seen: those
    that captioning sees; a pass without gradient ranks them first, so the gradient covers one image in place of one and
    a half (attentive masks for CLIP, A-CLIP, arXiv 2212.08653). With attentive masks ITC then reads the caption off the
    choice of patches: whole images were found no better than by chance (docs/ablation.md)."""

    patch_word_weight: float = 0.0
    """Weight of a contrastive loss of patches and words, which trains the token-wise similarity that masking.score
    token_max ranks patches by (FILIP, arXiv 2111.07783; the paper does not train it)."""

    patch_word_group_size: int = 32
    """Number of pairs whose patches and words are compared with each other, consecutive ones of the global batch. A
    micro-batch is a multiple of it, or the whole batch."""

    patch_word_weighting: WordWeighting = "equal"
    """How much a word counts in a caption's similarity to an image. equal: all the same (FILIP). rare: the more, the
    fewer captions of the group have it, by the inverse document frequency."""

    contrastive_loss: ContrastiveLoss = "softmax"
    """How ITC compares pairs. softmax: InfoNCE in both directions (paper). sigmoid: whether each image and each caption
    belong together, one pair at a time, with a learned bias (SigLIP, arXiv 2303.15343). decoupled: InfoNCE without the
    pair itself in its denominator (DCL, arXiv 2110.06848), which keeps the gradient large in small batches."""

    captions_per_image: int = 1
    """Different captions of each image that ITC takes as its positives, sampled in each epoch (paper: 1). An image
    that has fewer gives what it has; all images weigh the same. IC and TG-MIM use the first caption alone."""

    contrastive_block_size: int | None = None
    """Rows of the contrastive logits that are in memory at a time, for very large batches; they are recomputed in the
    backward pass. None: all rows of the process at once. The same of the images of a group of patches and words."""

    pixel_error: PixelError = "squared"
    """Loss per reconstructed pixel: squared error as in MAE, or absolute error as in SimMIM."""

    normalizes_patches: bool = True
    """Normalize the target per patch (MAE's norm_pix_loss); without it the target is plain pixels."""

    captioning_dropped_share: float = 0.0
    """Share of images, drawn one by one, that the text decoder does not see in training, so that it also learns how
    probable a caption is without its image. Captions with a guidance scale need it (arXiv 2307.16686); not in the
    paper."""

    captioning_parallel_share: float = 0.0
    """Share of images, drawn one by one, of whose captions all tokens are predicted at once, from the image alone
    (CapPa, arXiv 2306.07915); not in the paper. No image is drawn for both shares."""

    def __post_init__(self) -> None:
        weights = tuple(self.weights.values())
        if not all(0 <= weight < math.inf for weight in weights):
            raise ValueError(f"objectives' weights must be numbers of at least 0, got {weights}")
        if max(weights) == 0:
            raise ValueError("at least one objective needs a weight above 0")
        self._check_masked_image_steps()
        if self.patch_word_group_size < 2:
            raise ValueError(
                "objectives.patch_word_group_size must be at least 2, for a pair needs others to be compared with,"
                f" got {self.patch_word_group_size}"
            )
        if self.contrastive_block_size is not None and self.contrastive_block_size < 1:
            raise ValueError(f"objectives.contrastive_block_size must be at least 1, got {self.contrastive_block_size}")
        self._check_shares()
        self._check_captions_per_image()

    def _check_shares(self) -> None:
        names = ("captioning_dropped_share", "captioning_parallel_share")
        for name in names:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"objectives.{name} must lie between 0 and 1, got {getattr(self, name)}")
            if getattr(self, name) > 0 and self.captioning_weight == 0:
                raise ValueError(f"objectives.{name} needs captioning: set objectives.captioning_weight, or it to 0")
        if sum(getattr(self, name) for name in names) > 1:
            raise ValueError(f"no image is drawn for both: objectives.{' and objectives.'.join(names)} exceed 1")

    def _check_masked_image_steps(self) -> None:
        if self.masked_image_every < 1:
            raise ValueError(f"objectives.masked_image_every must be at least 1, got {self.masked_image_every}")
        if not 0 <= self.masked_image_from < 1:
            raise ValueError(
                f"objectives.masked_image_from must be at least 0 and below 1, got {self.masked_image_from}; to leave"
                " TG-MIM out to the end, set objectives.masked_image_weight to 0"
            )
        if self.masked_feature_weight > 0 and self.masked_image_weight == 0:
            raise ValueError(
                "objectives.masked_feature_weight needs TG-MIM, which predicts the features: set"
                " objectives.masked_image_weight, or it to 0"
            )
        of_masked = self.masked_image_weight + self.masked_feature_weight
        if self.has_steps_without_masked_image and sum(self.weights.values()) == of_masked:
            raise ValueError(
                "steps without TG-MIM would train nothing: set objectives.masked_image_every to 1 and"
                " objectives.masked_image_from to 0, or give objectives.contrastive_weight or"
                " objectives.captioning_weight a weight"
            )

    def _check_captions_per_image(self) -> None:
        if self.captions_per_image < 1:
            raise ValueError(f"objectives.captions_per_image must be at least 1, got {self.captions_per_image}")
        if self.captions_per_image > 1 and self.contrastive_weight == 0:
            raise ValueError(
                f"objectives.captions_per_image {self.captions_per_image} gives ITC more positives, and"
                " objectives.contrastive_weight is 0; set that, or objectives.captions_per_image to 1"
            )

    def check_encoded_patches(
        self, *, hides_from_captioning: bool, hidden_share: float, masks_in_image_encoder: bool
    ) -> None:
        """Raise ValueError where other settings contradict ``encoded_patches``."""
        if not LEAVES_OUT_PATCHES[self.encoded_patches]:
            return
        if not hides_from_captioning:
            raise ValueError(
                "objectives.encoded_patches is 'seen', but captioning sees all patches: set it to 'all', or"
                " masking.hides_from_captioning (in fine-tuning hides_from_captioning)"
            )
        if hidden_share < 1:
            raise ValueError(
                "objectives.encoded_patches 'seen' encodes as many patches of every image, and captioning sees all of"
                " some: set masking.captioning_hidden_share to 1, or objectives.encoded_patches to 'all'"
            )
        if masks_in_image_encoder and self.masked_image_weight > 0:
            raise ValueError(
                "objectives.encoded_patches 'seen' saves the pass that mask tokens in the image encoder need: set it to"
                " 'all', or model.image_decoder.mask_tokens to 'decoder'"
            )

    @property
    def has_steps_without_masked_image(self) -> bool:
        """Whether TG-MIM has a weight and some steps leave it out."""
        return self.masked_image_weight > 0 and (self.masked_image_every > 1 or self.masked_image_from > 0)

    @property
    def needs_logit_bias(self) -> bool:
        """Whether the model has a learned bias of the logits, which ITC alone trains."""
        return self.contrastive_weight > 0 and HAS_LOGIT_BIAS[self.contrastive_loss]

    @property
    def prevents_caching(self) -> Mapping[str, float | str | None]:
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

    def with_whole_inputs(self) -> "ObjectivesConfig":
        """Return the same objectives where captioning always has its image and its words, as at inference."""
        return replace(self, captioning_dropped_share=0.0, captioning_parallel_share=0.0)
