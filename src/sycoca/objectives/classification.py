"""Image classification."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def classification_loss(
    logits: Float[Tensor, "batch classes"], targets: Float[Tensor, "batch classes"], num_samples: int
) -> Float[Tensor, ""]:
    """Return the cross-entropy with soft targets, summed over images and divided by ``num_samples``.

    With ``num_samples`` of the global batch this is a micro-batch's contribution to the mean.
    """
    return F.cross_entropy(logits, targets.to(logits.dtype), reduction="sum") / num_samples
