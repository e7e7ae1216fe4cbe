"""ITC where images have several captions, and where the positive is left out of the denominator.

Every caption of an image is a positive of it. What an image is compared with in its denominator are the captions of
*other* images; so its own further captions are no negatives, nor are copies: pairs of an image and a caption that
belong together, because the images are equal, or the caption equals one of the image's own.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sycoca.objectives.compared import CaptionTable, ComparedRows, as_table, caption_weights
from sycoca.precision import precise_product


class Everyone(NamedTuple):
    """The captions of the global batch, and their keys."""

    texts: CaptionTable
    sample_keys: Int[Tensor, "global_batch keys"] | None


def sum_of_infonce(
    rows: ComparedRows,
    everyone: Everyone,
    all_images: Float[Tensor, "global_batch embed"],
    logit_scale: Float[Tensor, " 1"],
    *,
    is_decoupled: bool = False,
) -> Float[Tensor, ""]:
    """Return the loss of both directions, summed over the rows' images; an image's captions are averaged.

    With ``is_decoupled`` the positive is left out of its own denominator (decoupled contrastive learning, arXiv
    2110.06848, section 3), else it is InfoNCE. A positive without any negative has the loss 0 in both.
    """
    texts = as_table(rows.text_embeds, rows.is_caption)
    images_to_texts = logit_scale * _image_products(rows, everyone)
    products = precise_product(texts.embeds.flatten(0, 1), all_images.T)
    texts_to_images = logit_scale * products.unflatten(0, texts.is_caption.shape)
    positives = images_to_texts[torch.arange(len(rows.partners), device=rows.partners.device), rows.partners]
    of_images = _log_sum(images_to_texts.flatten(1), negatives_of_images(rows, everyone).flatten(1))
    of_texts = _log_sum(texts_to_images, negatives_of_texts(rows, everyone))
    terms = _terms(positives, of_images.unsqueeze(1), is_decoupled=is_decoupled)
    terms = terms + _terms(positives, of_texts, is_decoupled=is_decoupled)
    return (caption_weights(texts.is_caption, terms.dtype) * terms).sum()


def sum_of_table_sigmoids(
    rows: ComparedRows, everyone: Everyone, logit_scale: Float[Tensor, " 1"], logit_bias: Float[Tensor, " 1"]
) -> Float[Tensor, ""]:
    """Return the binary cross-entropy of every image of the rows with all captions, summed; an image's are averaged."""
    logits = logit_scale * _image_products(rows, everyone) + logit_bias
    is_pair = _is_partner(rows, everyone).unsqueeze(2)
    likelihoods = F.logsigmoid(torch.where(is_pair, logits, -logits))
    counts = is_pair | negatives_of_images(rows, everyone)
    return -(caption_weights(everyone.texts.is_caption, logits.dtype) * likelihoods.masked_fill(~counts, 0)).sum()


def negatives_of_images(rows: ComparedRows, everyone: Everyone) -> Bool[Tensor, "rows global_batch captions"]:
    """Return which captions are negatives of the rows' images."""
    are_negatives = _are_different_images(rows, everyone).unsqueeze(2) & everyone.texts.is_caption
    if rows.sample_keys is not None and everyone.sample_keys is not None:
        for own in rows.sample_keys[:, 1:].unbind(1):  # one at a time: memory grows with captions, not their square
            are_negatives &= own[:, None, None] != everyone.sample_keys[:, 1:]
    return are_negatives


def negatives_of_texts(rows: ComparedRows, everyone: Everyone) -> Bool[Tensor, "rows captions global_batch"]:
    """Return which images are negatives of the rows' captions."""
    num_captions = everyone.texts.is_caption.shape[1]
    are_negatives = _are_different_images(rows, everyone).unsqueeze(1).expand(-1, num_captions, -1)
    if rows.sample_keys is not None and everyone.sample_keys is not None:
        for others in everyone.sample_keys[:, 1:].unbind(1):
            are_negatives = are_negatives & (rows.sample_keys[:, 1:, None] != others)
    return are_negatives


def _image_products(rows: ComparedRows, everyone: Everyone) -> Float[Tensor, "rows global_batch captions"]:
    texts = everyone.texts
    return precise_product(rows.image_embeds, texts.embeds.flatten(0, 1).T).unflatten(1, texts.is_caption.shape)


def _is_partner(rows: ComparedRows, everyone: Everyone) -> Bool[Tensor, "rows global_batch"]:
    return torch.arange(len(everyone.texts.is_caption), device=rows.partners.device) == rows.partners[:, None]


def _are_different_images(rows: ComparedRows, everyone: Everyone) -> Bool[Tensor, "rows global_batch"]:
    are_different = ~_is_partner(rows, everyone)
    if rows.sample_keys is not None and everyone.sample_keys is not None:
        are_different &= rows.sample_keys[:, :1] != everyone.sample_keys[:, 0]
    return are_different


def _log_sum(
    logits: Float[Tensor, "*rows columns"], are_negatives: Bool[Tensor, "*rows columns"]
) -> Float[Tensor, "*rows"]:
    """Return the logarithm of the sum over the negatives of each row; minus infinity where there are none."""
    return logits.masked_fill(~are_negatives, -torch.inf).logsumexp(dim=-1)


def _terms(
    positives: Float[Tensor, "rows captions"], negatives: Float[Tensor, "rows _"], *, is_decoupled: bool
) -> Float[Tensor, "rows captions"]:
    """Return the loss of every positive, given the logarithm of the sum over its negatives."""
    if is_decoupled:
        # Nothing to be told from is a loss of 0, as in InfoNCE; the logarithm of an empty sum would be infinite.
        return torch.where(negatives.isneginf(), 0, negatives - positives)
    return -F.logsigmoid(positives - negatives)
