"""ITC: the contrastive loss over the images and captions of a batch, in both directions."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import assert_never

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from sycoca.objectives.compared import (
    INFONCE,
    CaptionTable,
    ComparedRows,
    ContrastForm,
    TextEmbeds,
    as_table,
    copies_of_pairs,
    embeds_of,
    is_caption_of,
    with_embeds,
)
from sycoca.objectives.config import NUM_DIRECTIONS, ContrastiveLoss
from sycoca.objectives.several_captions import Everyone, sum_of_infonce, sum_of_table_sigmoids
from sycoca.precision import precise_product
from sycoca.records import CachedContrastiveGradients


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranks:
    """How embeddings are gathered over all processes; the default is a single process."""

    gather: Callable[[Tensor], Tensor] = lambda local: local
    """Concatenates the rows of all ranks in order, with gradient; every rank has the same number of rows."""

    rank: int = 0
    """Rank of this process."""


def contrastive_loss(
    image_embeds: Float[Tensor, "batch embed"],
    text_embeds: TextEmbeds,
    logit_scale: Float[Tensor, " 1"],
    num_samples: int,
    ranks: Ranks,
    sample_keys: Int[Tensor, "batch keys"] | None = None,
    block_size: int | None = None,
    form: ContrastForm = INFONCE,
) -> Float[Tensor, ""]:
    """Return InfoNCE over the pairs of this micro-batch on all ranks, mean of both directions (CLIP, arXiv 2103.00020).

    In other forms it is the sigmoid loss: whether every image and every caption belong together (SigLIP, arXiv
    2303.15343, section 3.2), or the decoupled one, whose denominators lack the positive (arXiv 2110.06848).

    It is the sum over this rank's rows divided by ``num_samples``, the pairs of the global batch. Embeddings are
    L2-normalized; logits are at least float32. Pairs whose image or caption equals the pair's own, by ``sample_keys``,
    are no negatives: they are left out. With a table of several captions, each is a positive of its image, and those of
    an image are averaged; ``sample_keys`` then has a column for each, after the image's. With ``block_size`` the logits
    of that many images at a time, with their captions, are in memory, and are recomputed in the backward pass.
    """
    batch = len(image_embeds)
    partners = torch.arange(batch, device=image_embeds.device) + ranks.rank * batch
    own = ComparedRows(image_embeds, embeds_of(text_embeds), partners, sample_keys, is_caption_of(text_embeds))
    summed = _compared_with_all(own, ranks, form)
    num_terms = NUM_DIRECTIONS[form.kind]
    if block_size is None or block_size >= batch:
        return summed(own, logit_scale=logit_scale) / (num_terms * num_samples)
    sums = [
        checkpoint(summed, block, logit_scale=logit_scale, use_reentrant=False, preserve_rng_state=False)
        for block in own.blocks(block_size)
    ]
    return torch.stack(sums).sum() / (num_terms * num_samples)


def _compared_with_all(own: ComparedRows, ranks: Ranks, form: ContrastForm) -> Callable[..., Float[Tensor, ""]]:
    """Return the function of some rows and the logit scale that sums a form's loss, given the pairs of all ranks."""
    all_texts = ranks.gather(own.text_embeds)
    all_keys = None if own.sample_keys is None else ranks.gather(own.sample_keys)
    is_caption = None if own.is_caption is None else ranks.gather(own.is_caption.long()).bool()
    everyone = Everyone(as_table(all_texts, is_caption), all_keys)
    match form.kind:
        case "softmax" if own.is_caption is None:
            all_images = ranks.gather(own.image_embeds)
            return partial(_sum_of_both, all_images=all_images, all_texts=all_texts, all_keys=all_keys)
        case "softmax":
            return partial(sum_of_infonce, everyone=everyone, all_images=ranks.gather(own.image_embeds))
        case "decoupled":
            all_images = ranks.gather(own.image_embeds)
            return partial(sum_of_infonce, everyone=everyone, all_images=all_images, is_decoupled=True)
        case "sigmoid":
            assert form.logit_bias is not None, "the sigmoid loss has a bias"
            if own.is_caption is None:
                return partial(_sum_of_sigmoids, all_texts=all_texts, all_keys=all_keys, logit_bias=form.logit_bias)
            return partial(sum_of_table_sigmoids, everyone=everyone, logit_bias=form.logit_bias)
        case unknown:
            assert_never(unknown)


def _sum_of_both(
    rows: ComparedRows,
    all_images: Float[Tensor, "global_batch embed"],
    all_texts: Float[Tensor, "global_batch embed"],
    all_keys: Int[Tensor, "global_batch 2"] | None,
    logit_scale: Float[Tensor, " 1"],
) -> Float[Tensor, ""]:
    """Return the cross-entropy of both directions, summed over the rows."""
    images_to_texts = logit_scale * precise_product(rows.image_embeds, all_texts.T)
    texts_to_images = logit_scale * precise_product(rows.text_embeds, all_images.T)
    if rows.sample_keys is not None and all_keys is not None:
        is_copy = copies_of_pairs(rows.sample_keys, all_keys, rows.partners)
        images_to_texts = images_to_texts.masked_fill(is_copy, -torch.inf)
        texts_to_images = texts_to_images.masked_fill(is_copy, -torch.inf)
    return F.cross_entropy(images_to_texts, rows.partners, reduction="sum") + F.cross_entropy(
        texts_to_images, rows.partners, reduction="sum"
    )


def _sum_of_sigmoids(
    rows: ComparedRows,
    all_texts: Float[Tensor, "global_batch embed"],
    all_keys: Int[Tensor, "global_batch 2"] | None,
    logit_scale: Float[Tensor, " 1"],
    logit_bias: Float[Tensor, " 1"],
) -> Float[Tensor, ""]:
    """Return the binary cross-entropy of every image of the rows with every text, summed."""
    logits = logit_scale * precise_product(rows.image_embeds, all_texts.T) + logit_bias
    is_pair = torch.zeros_like(logits, dtype=torch.bool).scatter(1, rows.partners[:, None], True)
    likelihoods = F.logsigmoid(torch.where(is_pair, logits, -logits))
    if rows.sample_keys is not None and all_keys is not None:
        likelihoods = likelihoods.masked_fill(copies_of_pairs(rows.sample_keys, all_keys, rows.partners), 0)
    return -likelihoods.sum()


def cached_contrastive_gradients(
    image_embeds: Sequence[Float[Tensor, "_ embed"]],
    text_embeds: Sequence[Float[Tensor, "_ embed"] | CaptionTable],
    logit_scale: Float[Tensor, " 1"],
    num_samples: int,
    ranks: Ranks,
    sample_keys: Int[Tensor, "_ keys"] | None = None,
    block_size: int | None = None,
    form: ContrastForm = INFONCE,
) -> list[CachedContrastiveGradients]:
    """Return, for each micro-batch, its part of the loss of all together and the gradients of its embeddings.

    This allows batches that do not fit into memory (GradCache, arXiv 2101.06983, section 3.3): embed all micro-batches
    without gradient, then embed each again with gradient and use `cached_contrastive_loss`. ``sample_keys`` are those
    of all micro-batches together; ``block_size`` and ``form`` are those of `contrastive_loss`.
    """
    sizes = [len(embeds) for embeds in image_embeds]
    table_parts = [is_caption for one in text_embeds if (is_caption := is_caption_of(one)) is not None]
    is_caption = torch.cat(table_parts) if table_parts else None
    with torch.enable_grad():
        images = torch.cat(list(image_embeds)).requires_grad_()
        texts = torch.cat([embeds_of(one) for one in text_embeds]).requires_grad_()
        scale = logit_scale.detach().requires_grad_()
        bias = None if form.logit_bias is None else form.logit_bias.detach().requires_grad_()
        own_form = ContrastForm(kind=form.kind, logit_bias=bias)
        compared = with_embeds(texts, is_caption)
        loss = contrastive_loss(images, compared, scale, num_samples, ranks, sample_keys, block_size, own_form)
        of_logits = (scale,) if bias is None else (scale, bias)
        grad_images, grad_texts, *grads = torch.autograd.grad(loss, (images, texts, *of_logits))
    parts = zip(grad_images.split(sizes), grad_texts.split(sizes), strict=True)
    return [
        CachedContrastiveGradients(
            loss=loss.detach() / len(sizes),
            grad_image_embeds=own_grad_images,
            grad_text_embeds=own_grad_texts,
            grad_logit_scale=grads[0] / len(sizes),
            grad_logit_bias=None if bias is None else grads[1] / len(sizes),
        )
        for own_grad_images, own_grad_texts in parts
    ]


def cached_contrastive_loss(
    image_embeds: Float[Tensor, "batch embed"],
    text_embeds: TextEmbeds,
    logit_scale: Float[Tensor, " 1"],
    cached: CachedContrastiveGradients,
    logit_bias: Float[Tensor, " 1"] | None = None,
) -> Float[Tensor, ""]:
    """Return a scalar with the value and the gradients of this micro-batch's part of the cached loss."""
    linear = (
        (image_embeds * cached.grad_image_embeds).sum()
        + (embeds_of(text_embeds) * cached.grad_text_embeds).sum()
        + (logit_scale * cached.grad_logit_scale).sum()
    )
    if logit_bias is not None and cached.grad_logit_bias is not None:
        linear = linear + (logit_bias * cached.grad_logit_bias).sum()
    return cached.loss + linear - linear.detach()


def contrastive_chance(kind: ContrastiveLoss, num_pairs: int) -> float:
    """Return ITC of ``num_pairs`` pairs, none a copy of another, where all cosines are equal.

    Of the sigmoid loss it is the one with the best bias, by which every image and caption belong together with a
    probability of 1 / ``num_pairs``. A pair without others has nothing to be told from, and a loss of 0.
    """
    others = num_pairs - 1
    if others == 0:
        return 0.0
    match kind:
        case "softmax":
            return math.log(num_pairs)
        case "decoupled":
            return math.log(others)
        case "sigmoid":
            return math.log(num_pairs) + others * math.log(num_pairs / others)
        case unknown:
            assert_never(unknown)
