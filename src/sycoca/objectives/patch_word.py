"""A contrastive loss of patches and words, which trains the token-wise similarity of attentive masking."""

from functools import partial
from typing import assert_never

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from sycoca.model.masking import is_word
from sycoca.model.sycoca import SyCoCa
from sycoca.objectives.compared import copies_of_pairs
from sycoca.objectives.config import ObjectivesConfig, WordWeighting
from sycoca.precision import precise_product
from sycoca.records import EncodedImages, EncodedTexts, ImageTextBatch


def patch_word_term(
    model: SyCoCa, images: EncodedImages, texts: EncodedTexts, batch: ImageTextBatch, objectives: ObjectivesConfig
) -> Float[Tensor, ""]:
    """Return the loss of patches and words of a micro-batch, from the embeddings that score ``token_max`` compares.

    Pairs are compared within groups of consecutive ones, see `patch_word_loss`; so embeddings are not gathered over
    ranks, and the loss of a step depends on neither ranks nor micro-batches where these are multiples of a group. The
    temperature is that of ITC.
    """
    patch_embeds, token_embeds = model.patch_embeds(images.patch_tokens), model.token_embeds(texts.token_states)
    text, size = model.config.text_encoder, objectives.patch_word_group_size
    counts, vocab_size = is_word(batch.is_padding, has_bos=text.has_bos), text.vocab_size
    parts = zip(
        patch_embeds.split(size),
        token_embeds.split(size),
        batch.tokens.split(size),
        counts.split(size),
        [None] * len(counts) if batch.sample_keys is None else batch.sample_keys.split(size),
        strict=False,
    )
    sums = [
        patch_word_loss(
            patches,
            words,
            word_weights(tokens, own_counts, vocab_size, objectives.patch_word_weighting, words.dtype),
            model.logit_scale(),
            keys,
            objectives.contrastive_block_size,
        )
        for patches, words, tokens, own_counts, keys in parts
    ]
    return torch.stack(sums).sum() / batch.totals.num_samples


def patch_word_loss(
    patch_embeds: Float[Tensor, "group patches embed"],
    token_embeds: Float[Tensor, "group tokens embed"],
    weights: Float[Tensor, "group tokens"],
    logit_scale: Float[Tensor, " 1"],
    sample_keys: Int[Tensor, "group 2"] | None = None,
    block_size: int | None = None,
) -> Float[Tensor, ""]:
    """Return InfoNCE over token-wise similarities, mean of both directions, summed over the pairs of a group.

    An image's similarity to a caption is the mean over its patches of the largest cosine with a word; a caption's to an
    image is the mean over its words, by their ``weights``, of the largest cosine with a patch (FILIP, arXiv 2111.07783,
    section 3.1). Embeddings are L2-normalized; a weight of 0 marks what is no word. Without words a caption is equally
    similar to all images. Pairs with the image or the caption of another, by ``sample_keys``, are no negatives of it.
    With ``block_size`` the cosines of that many images at a time are in memory; the backward pass recomputes them.
    """
    similarities = partial(_similarities, token_embeds=token_embeds, weights=weights)
    if block_size is None or block_size >= len(patch_embeds):
        of_images, of_texts = similarities(patch_embeds)
    else:
        blocks = [
            checkpoint(similarities, block, use_reentrant=False, preserve_rng_state=False)
            for block in patch_embeds.split(block_size)
        ]
        of_images, of_texts = (torch.cat(parts) for parts in zip(*blocks, strict=True))
    images_to_texts, texts_to_images = logit_scale * of_images, logit_scale * of_texts.T
    partners = torch.arange(len(patch_embeds), device=patch_embeds.device)
    if sample_keys is not None:
        is_copy = copies_of_pairs(sample_keys, sample_keys, partners)
        images_to_texts = images_to_texts.masked_fill(is_copy, -torch.inf)
        texts_to_images = texts_to_images.masked_fill(is_copy, -torch.inf)
    directions = (images_to_texts, texts_to_images)
    return torch.stack([F.cross_entropy(one, partners, reduction="sum") for one in directions]).mean()


def word_weights(
    tokens: Int[Tensor, "group tokens"],
    counts: Bool[Tensor, "group tokens"],
    vocab_size: int,
    weighting: WordWeighting,
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "group tokens"]:
    """Return how much each token counts; 0 for what is no word.

    ``rare`` is the inverse document frequency within the group, log((n + 1) / d) of a word in d of its n captions:
    that of the training captions would be a state to keep, and "a" and "the" are in most captions of any group.
    """
    match weighting:
        case "equal":
            return counts.to(dtype)
        case "rare":
            elsewhere = torch.where(counts, tokens, vocab_size)
            has_token = torch.zeros(len(tokens), vocab_size + 1, dtype=dtype, device=tokens.device)
            has_token.scatter_(1, elsewhere, 1.0)
            num_captions = has_token.sum(dim=0)[elsewhere]
            return ((len(tokens) + 1) / num_captions).log() * counts
        case unknown:
            assert_never(unknown)


def _similarities(
    patch_embeds: Float[Tensor, "images patches embed"],
    token_embeds: Float[Tensor, "texts tokens embed"],
    weights: Float[Tensor, "texts tokens"],
) -> tuple[Float[Tensor, "images texts"], Float[Tensor, "images texts"]]:
    """Return the similarities of images to texts and of texts to images."""
    (images, patches), (texts, tokens) = patch_embeds.shape[:2], token_embeds.shape[:2]
    flat = precise_product(patch_embeds.flatten(0, 1), token_embeds.flatten(0, 1).T)
    cosines = flat.view(images, patches, texts, tokens)
    of_words = (cosines.amax(dim=1) * weights).sum(dim=2) / weights.sum(dim=1).clamp(min=1e-6)
    of_patches = cosines.masked_fill(weights == 0, -1.0).amax(dim=3).mean(dim=1)
    return of_patches, of_words
