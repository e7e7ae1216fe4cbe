"""IC: next-token prediction of the caption, given the image."""

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


def captioning_loss(
    logits: Float[Tensor, "labels vocab"], labels: Int[Tensor, " labels"], num_labels: int | Int[Tensor, ""]
) -> Float[Tensor, ""]:
    """Return the cross-entropy, summed over label positions and divided by their number in the global batch."""
    return F.cross_entropy(logits, labels, reduction="sum") / num_labels
