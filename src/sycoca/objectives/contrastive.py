"""ITC: images and captions of a batch find each other, in both directions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sycoca.precision import precise_product
from sycoca.records import CachedContrastiveGradients


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


def cached_contrastive_gradients(
    image_embeds: Sequence[Float[Tensor, "_ embed"]],
    text_embeds: Sequence[Float[Tensor, "_ embed"]],
    logit_scale: Float[Tensor, " 1"],
    num_samples: int,
    ranks: Ranks,
) -> list[CachedContrastiveGradients]:
    """Return what `contrastive_loss` of all micro-batches together means for each: its part of loss and gradients.

    So a batch may be compared as a whole that does not fit into memory at once (GradCache, arXiv 2101.06983, section
    3.3): embed all without gradient, then each micro-batch again with what is returned here.
    """
    sizes = [len(embeds) for embeds in image_embeds]
    with torch.enable_grad():
        images, texts = (torch.cat(list(embeds)).requires_grad_() for embeds in (image_embeds, text_embeds))
        scale = logit_scale.detach().requires_grad_()
        loss = contrastive_loss(images, texts, scale, num_samples, ranks)
        by_images, by_texts, by_scale = torch.autograd.grad(loss, (images, texts, scale))
    parts = zip(by_images.split(sizes), by_texts.split(sizes), strict=True)
    return [
        CachedContrastiveGradients(
            loss=loss.detach() / len(sizes),
            by_image_embeds=by_own_images,
            by_text_embeds=by_own_texts,
            by_logit_scale=by_scale / len(sizes),
        )
        for by_own_images, by_own_texts in parts
    ]


def shared_contrastive_loss(
    image_embeds: Float[Tensor, "batch embed"],
    text_embeds: Float[Tensor, "batch embed"],
    logit_scale: Float[Tensor, " 1"],
    share: CachedContrastiveGradients,
) -> Float[Tensor, ""]:
    """Return a term with the value and the gradients of this micro-batch's share."""
    linear = (
        (image_embeds * share.by_image_embeds).sum()
        + (text_embeds * share.by_text_embeds).sum()
        + (logit_scale * share.by_logit_scale).sum()
    )
    return share.loss + linear - linear.detach()
