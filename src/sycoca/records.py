"""Records that cross layers, and the words for their axes.

Axis names, the same everywhere: ``batch`` pairs of image and caption; ``tokens`` positions of the longest
caption of a batch, special tokens included; ``patches`` patches of an image, row by row; ``kept`` the
patches that stay; ``masked`` the patches to rebuild; ``pixels`` the numbers of one patch (3 x patch x patch);
``width`` features of a transformer; ``embed`` the joint space of images and texts; ``memory`` what the text
decoder attends to.
"""

from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor

IGNORE_INDEX = -100
"""The label of a position that has nothing to predict (PyTorch's own convention)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchTotals:
    """What the losses divide by: counts over the **global** batch, all ranks and micro-batches together.

    With these denominators a step gives the same loss and gradients however the batch is cut.
    """

    num_samples: int
    """Pairs in the global batch."""

    num_labels: int
    """Tokens that captioning has to predict in the global batch, or questions that are to be answered."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CachedContrastiveGradients:
    """What the contrastive objective of a whole batch, which was embedded before, means for one of its micro-batches.

    The gradients are those of the whole batch's loss.
    """

    loss: Float[Tensor, ""]
    """This micro-batch's part of the loss."""

    by_image_embeds: Float[Tensor, "batch embed"]
    """Gradient by this micro-batch's image embeddings."""

    by_text_embeds: Float[Tensor, "batch embed"]
    """Gradient by its text embeddings."""

    by_logit_scale: Float[Tensor, " 1"]
    """Its part of the gradient by the factor on similarities."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageTextBatch:
    """Pairs of images and captions, ready for the model."""

    images: Float[Tensor, "batch 3 height width"]
    """Normalized pixels."""

    tokens: Int[Tensor, "batch tokens"]
    """Token ids: bos, the caption, eos, then padding up to the batch's longest caption."""

    is_padding: Bool[Tensor, "batch tokens"]
    """True where a token is filler."""

    draw_keys: Int[Tensor, " batch"]
    """One 63-bit number per sample, derived from seed, epoch and sample: the root of all that is drawn for it."""

    totals: BatchTotals
    """Counts of the global batch that this (micro-)batch is a part of."""

    contrast: CachedContrastiveGradients | None = None
    """Known where this is one of several micro-batches; without it the contrastive objective compares within it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QuestionBatch:
    """Images with questions about them and what their annotators answered."""

    images: Float[Tensor, "batch 3 height width"]
    """Normalized pixels."""

    tokens: Int[Tensor, "questions tokens"]
    """Token ids of the questions, as in `ImageTextBatch`."""

    is_padding: Bool[Tensor, "questions tokens"]
    """True where a token is filler."""

    image_of_question: Int[Tensor, " questions"]
    """The row of the image that each is about; one image may have several questions."""

    targets: Float[Tensor, "questions answers"]
    """How right each answer of the list is, 0 to 1."""

    draw_keys: Int[Tensor, " batch"]
    """One 63-bit number per sample, the root of all that is drawn for it."""

    totals: BatchTotals
    """Counts of the global batch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassBatch:
    """Images with the classes they belong to."""

    images: Float[Tensor, "batch 3 height width"]
    """Normalized pixels."""

    targets: Float[Tensor, "batch classes"]
    """The share of each class, which add up to 1: several where images are mixed or labels smoothed."""

    draw_keys: Int[Tensor, " batch"]
    """One 63-bit number per sample, the root of all that is drawn for it."""

    totals: BatchTotals
    """Counts of the global batch."""


TrainingBatch = ImageTextBatch | QuestionBatch | ClassBatch
"""What training tasks take."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EncodedImages:
    """What the image encoder returns."""

    patch_tokens: Float[Tensor, "batch patches width"]
    """Output of the last block per patch, before the final norm."""

    cls_tokens: Float[Tensor, "batch extra width"]
    """Output of the last block for [CLS]; ``extra`` is 1, or 0 with mean and max pooling, which have no such token."""

    image_embeds: Float[Tensor, "batch embed"]
    """L2-normalized vectors of the joint space."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EncodedTexts:
    """What the text encoder returns."""

    token_states: Float[Tensor, "batch tokens width"]
    """Output of the last block per token, before the final norm."""

    text_embeds: Float[Tensor, "batch embed"]
    """L2-normalized vectors of the joint space."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LossTerms:
    """The objectives of one batch, unweighted so that runs can be compared; None where switched off.

    Each is this (micro-)batch's share of the global mean: the shares of all micro-batches and ranks add up to it.
    """

    contrastive: Float[Tensor, ""] | None = None
    captioning: Float[Tensor, ""] | None = None
    masked_image: Float[Tensor, ""] | None = None
    answering: Float[Tensor, ""] | None = None
    classification: Float[Tensor, ""] | None = None
