"""ITC: images and captions of a batch find each other, in both directions."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sycoca.precision import precise_product


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranks:
    """How embeddings of all processes come together; the default is one process on its own."""

    gather: Callable[[Tensor], Tensor] = lambda local: local
    """Concatenates the rows of all ranks in their order, with gradient; all give the same number of rows."""

    rank: int = 0
    """This process's number."""


def contrastive_loss(
    image_embeds: Float[Tensor, "batch embed"],
    text_embeds: Float[Tensor, "batch embed"],
    logit_scale: Float[Tensor, " 1"],
    num_samples: int,
    ranks: Ranks,
) -> Float[Tensor, ""]:
    """InfoNCE over the pairs of this micro-batch on all ranks, mean of both directions (CLIP, arXiv 2103.00020).

    Returns the sum over this rank's rows over ``num_samples``, the pairs of the whole global batch. Embeddings are
    L2-normalized; logits are at least float32.
    """
    images_to_texts = logit_scale * precise_product(image_embeds, ranks.gather(text_embeds).T)
    texts_to_images = logit_scale * precise_product(text_embeds, ranks.gather(image_embeds).T)
    batch = len(image_embeds)
    partners = torch.arange(batch, device=image_embeds.device) + ranks.rank * batch
    both = F.cross_entropy(images_to_texts, partners, reduction="sum") + F.cross_entropy(
        texts_to_images, partners, reduction="sum"
    )
    return both / (2 * num_samples)
