"""IC: the next token of the caption, given the image and the tokens before it."""

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


def captioning_loss(
    logits: Float[Tensor, "labels vocab"], labels: Int[Tensor, " labels"], num_labels: int
) -> Float[Tensor, ""]:
    """Cross-entropy of real label positions, summed and divided by their number in the whole global batch."""
    return F.cross_entropy(logits, labels, reduction="sum") / num_labels
