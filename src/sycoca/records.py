"""Records that several layers exchange, and the names of tensor axes.

Axis names, the same everywhere: ``batch`` image-caption pairs; ``tokens`` token positions up to the longest
caption of a batch, special tokens included; ``patches`` patches of an image, row by row; ``kept`` the patches
that the text decoder sees; ``masked`` the patches to reconstruct; ``pixels`` the values of one patch
(3 x patch x patch); ``width`` features of a transformer; ``embed`` the joint embedding space of images and
texts; ``memory`` what the text decoder cross-attends to.
"""

from dataclasses import dataclass, fields
from typing import NamedTuple, cast

from jaxtyping import Bool, Float, Int
from torch import Tensor

from sycoca.facts.objective_facts import ObjectiveName


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchTotals:
    """Denominators of the losses: counts over the **global** batch, all ranks and micro-batches together.

    With them the loss and gradients of a step do not depend on how the batch is split.
    """

    num_samples: int
    """Pairs in the global batch."""

    num_labels: int | Int[Tensor, ""]
    """Target tokens of captioning in the global batch, or questions to be answered. Of several processes a number on
    their device, for which the host never waits."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingProgress:
    """How far training is in one of its steps: a function of the step alone, so a resumed run is where it was."""

    step: int
    """Number of the step, from 1, as in logs."""

    num_steps: int
    """Steps of the whole training."""

    @property
    def fraction_done(self) -> float:
        """The fraction of the steps that are done before this one: 0 in the first step, less than 1 in the last."""
        return (self.step - 1) / self.num_steps


@dataclass(frozen=True, kw_only=True, slots=True)
class CachedContrastiveGradients:
    """Gradients of the whole batch's contrastive loss with respect to one micro-batch's embeddings.

    They are computed in a first pass without autograd over the encoders (GradCache, arXiv 2101.06983).
    """

    loss: Float[Tensor, ""]
    """This micro-batch's contribution to the loss."""

    grad_image_embeds: Float[Tensor, "batch embed"]
    """Gradient with respect to this micro-batch's image embeddings."""

    grad_text_embeds: Float[Tensor, "batch *captions embed"]
    """Gradient with respect to its text embeddings, of one caption of an image or of several."""

    grad_logit_scale: Float[Tensor, " 1"]
    """Its contribution to the gradient with respect to the logit scale."""

    grad_logit_bias: Float[Tensor, " 1"] | None = None
    """The same of the logit bias; None without one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageTokens:
    """Outputs of the image encoder's last block, before pooling: cached ones of a frozen encoder replace the pixels."""

    cls_tokens: Float[Tensor, "batch extra width"]
    """Of [CLS], as in `EncodedImages`."""

    patch_tokens: Float[Tensor, "batch patches width"]
    """Of the patches."""


Images = Float[Tensor, "batch 3 height width"] | ImageTokens
"""Normalized pixels, or what a frozen image encoder has computed of them."""


def pixels_of(images: Images) -> Float[Tensor, "batch 3 height width"]:
    """Return normalized pixels. Raises ValueError for cached features, of which they are not known."""
    if isinstance(images, ImageTokens):
        raise ValueError("the pixels are needed, and cached features do not have them")
    return images


@dataclass(frozen=True, kw_only=True, slots=True)
class MoreCaptions:
    """Captions of a batch's images beside the first ones: further positives of ITC."""

    tokens: Int[Tensor, "captions tokens"]
    """Token ids, as in `ImageTextBatch`: those of the first image, then of the second, and so on; maybe none at all."""

    is_padding: Bool[Tensor, "captions tokens"]
    """True where a token is padding."""

    is_caption: Bool[Tensor, "batch more"]
    """Which of the places that each image has for them are taken, from the left, in the order of ``tokens``."""

    caption_keys: Int[Tensor, "batch more"] | None
    """Keys as in ``sample_keys``; places that are not taken have the key of the image's first caption."""

    num_tokens: int
    """Tokens that are no padding."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageTextBatch:
    """A batch of image-caption pairs, ready for the model."""

    images: Images
    """Normalized pixels, or cached features."""

    tokens: Int[Tensor, "batch tokens"]
    """Token ids: bos, the caption, eos, then padding up to the batch's longest caption."""

    is_padding: Bool[Tensor, "batch tokens"]
    """True where a token is padding."""

    draw_keys: Int[Tensor, " batch"]
    """One 63-bit key per sample, derived from seed, epoch and sample index; all its random draws derive from it."""

    totals: BatchTotals
    """Counts of the global batch to which this (micro-)batch belongs."""

    sample_keys: Int[Tensor, "batch 2"] | None = None
    """63-bit keys of image and caption, equal for equal ones: copies are no negatives of each other. None where samples
    are taken to be different."""

    num_tokens: int | None = None
    """Tokens that are no padding. None where unknown: then they are counted, for which the host waits on a GPU."""

    more_captions: MoreCaptions | None = None
    """Set where ITC compares several captions of an image (``objectives.captions_per_image``)."""

    teacher_tokens: Float[Tensor, "batch patches features"] | None = None
    """What the averaged image encoder makes of every patch, which TG-MIM predicts for masked ones; set where
    ``objectives.masked_feature_weight`` is above 0, in steps with TG-MIM."""

    contrast: CachedContrastiveGradients | None = None
    """Set where this is one of several micro-batches; None computes the contrastive loss within this batch."""

    progress: TrainingProgress | None = None
    """How far training is. None outside of a training, as in evaluation: then whatever changes in the course of one is
    as it is at full strength, see `masking_at` and `masks_images_at`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QuestionBatch:
    """A batch of images with questions about them and soft targets from the annotators' answers."""

    images: Images
    """Normalized pixels, or cached features."""

    tokens: Int[Tensor, "questions tokens"]
    """Token ids of the questions, as in `ImageTextBatch`."""

    is_padding: Bool[Tensor, "questions tokens"]
    """True where a token is padding."""

    image_of_question: Int[Tensor, " questions"]
    """The index of each question's image; one image may have several questions."""

    targets: Float[Tensor, "questions answers"]
    """Soft target of each answer in the answer list, 0 to 1."""

    most_questions: int
    """The largest number of questions of an image."""

    num_tokens: int | None = None
    """Tokens of the questions that are no padding, as in `ImageTextBatch`."""

    draw_keys: Int[Tensor, " batch"]
    """One 63-bit key per sample, from which all its random draws derive."""

    totals: BatchTotals
    """Counts of the global batch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassBatch:
    """A batch of images with class targets."""

    images: Images
    """Normalized pixels, or cached features."""

    targets: Float[Tensor, "batch classes"]
    """Probability of each class; a row sums to 1. Several are nonzero with mixup or label smoothing."""

    draw_keys: Int[Tensor, " batch"]
    """One 63-bit key per sample, from which all its random draws derive."""

    totals: BatchTotals
    """Counts of the global batch."""


TrainingBatch = ImageTextBatch | QuestionBatch | ClassBatch
"""The batches that training tasks take."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EncodedImages:
    """What the image encoder returns."""

    patch_tokens: Float[Tensor, "batch patches width"]
    """Output of the last block per patch, before the final norm."""

    cls_tokens: Float[Tensor, "batch extra width"]
    """Output of the last block for [CLS]; ``extra`` is 1, or 0 with mean and max pooling, which have no [CLS]."""

    image_embeds: Float[Tensor, "batch embed"]
    """L2-normalized vectors of the joint space."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EncodedTexts:
    """What the text encoder returns."""

    token_states: Float[Tensor, "batch tokens width"]
    """Output of the last block per token, before the final norm."""

    text_embeds: Float[Tensor, "batch embed"]
    """L2-normalized vectors of the joint space."""


class MaskedPatches(NamedTuple):
    """What the image decoder predicts of masked patches."""

    pixels: Float[Tensor, "batch masked pixels"]
    """Their pixels, by default normalized per patch."""

    features: Float[Tensor, "batch masked width"] | None
    """What a teacher's image encoder makes of them, normalized; None where the model is not trained for it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LossTerms:
    """The losses of one batch, unweighted so that runs can be compared; None where an objective is off.

    Each is this (micro-)batch's contribution to the global mean: those of all micro-batches and ranks sum to it.
    """

    contrastive: Float[Tensor, ""] | None = None
    captioning: Float[Tensor, ""] | None = None
    masked_image: Float[Tensor, ""] | None = None
    masked_feature: Float[Tensor, ""] | None = None
    patch_word: Float[Tensor, ""] | None = None
    answering: Float[Tensor, ""] | None = None
    classification: Float[Tensor, ""] | None = None

    def named(self) -> dict[ObjectiveName, Tensor]:
        """Return the terms that are there, by name."""
        named: dict[ObjectiveName, Tensor] = {}
        for field in fields(self):
            term = getattr(self, field.name)
            if term is not None:
                named[cast(ObjectiveName, field.name)] = term
        return named
