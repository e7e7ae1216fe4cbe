"""Captions of a batch through the text encoder: the first of each image for all objectives, the others for ITC."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from sycoca.model.sycoca import SyCoCa
from sycoca.objectives.compared import CaptionTable, TextEmbeds
from sycoca.records import EncodedTexts, ImageTextBatch, MoreCaptions


def encode_captions(model: SyCoCa, batch: ImageTextBatch) -> tuple[EncodedTexts, TextEmbeds]:
    """Return the encoded first captions, and what ITC compares: their embeddings, or a table with the further ones.

    All are encoded in one pass, also where no image has more than one: processes that hold shards of the encoder run it
    equally often.
    """
    more = batch.more_captions
    if more is None:
        texts = model.encode_texts(batch.tokens, batch.is_padding, batch.num_tokens)
        return texts, texts.text_embeds
    num_images, length = batch.tokens.shape
    longest = max(length, more.tokens.shape[1])
    tokens = torch.cat([_padded(batch.tokens, longest, 0), _padded(more.tokens, longest, 0)])
    is_padding = torch.cat([_padded(batch.is_padding, longest, True), _padded(more.is_padding, longest, True)])
    num_tokens = None if batch.num_tokens is None else batch.num_tokens + more.num_tokens
    encoded = model.encode_texts(tokens, is_padding, num_tokens)
    first, others = encoded.text_embeds[:num_images], encoded.text_embeds[num_images:]
    texts = EncodedTexts(token_states=encoded.token_states[:num_images, :length], text_embeds=first)
    return texts, _table(first, others, more)


def keys_to_compare(batch: ImageTextBatch) -> Int[Tensor, "batch keys"] | None:
    """Return the keys of the images and of all captions that ITC compares; None where samples are taken to differ."""
    if batch.sample_keys is None or batch.more_captions is None:
        return batch.sample_keys
    assert batch.more_captions.caption_keys is not None, "captions have keys where their images have"
    return torch.cat([batch.sample_keys, batch.more_captions.caption_keys], dim=1)


def _padded(
    rows: Shaped[Tensor, "captions tokens"], length: int, value: int | bool
) -> Shaped[Tensor, "captions longer"]:
    """Return rows of tokens that are padded further; what stands in padding is never read."""
    return F.pad(rows, (0, length - rows.shape[1]), value=value)


def _table(
    first: Float[Tensor, "batch embed"], others: Float[Tensor, "captions embed"], more: MoreCaptions
) -> CaptionTable:
    """Return the embeddings with zeros in places that an image leaves free."""
    num_places = more.is_caption.shape[1]
    free = first.new_zeros(len(first), num_places, first.shape[1])
    placed = free.masked_scatter(more.is_caption.unsqueeze(2), others)
    is_first = torch.ones_like(more.is_caption[:, :1])
    return CaptionTable(
        embeds=torch.cat([first.unsqueeze(1), placed], dim=1),
        is_caption=torch.cat([is_first, more.is_caption], dim=1),
    )
