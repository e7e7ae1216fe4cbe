"""Classification: which class an image belongs to."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def classification_loss(
    logits: Float[Tensor, "batch classes"], targets: Float[Tensor, "batch classes"], num_samples: int
) -> Float[Tensor, ""]:
    """Return the cross-entropy, natural logarithm, with each image's shares of classes; its sum by ``num_samples``.

    With the number of images of the global batch this is a micro-batch's share of the mean.
    """
    return F.cross_entropy(logits, targets.to(logits.dtype), reduction="sum") / num_samples
