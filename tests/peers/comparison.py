"""Our converted model beside its peer: the same inputs, the same outputs."""

from collections.abc import Sequence

import torch
from torch import Tensor

from sycoca.model.packing import Packing
from sycoca.model.sycoca import SyCoCa


@torch.no_grad()
def our_outputs(model: SyCoCa, images: Tensor, tokens: Tensor, lengths: Sequence[int]) -> dict[str, Tensor]:
    """Return embeddings of images and rows of tokens, and each next token's logits at the rows' real positions."""
    is_padding = torch.arange(tokens.shape[1]) >= torch.tensor(lengths)[:, None]
    encoded, texts = model.encode_images(images), model.encode_texts(tokens, is_padding)
    outputs = {"image_embeds": encoded.image_embeds, "text_embeds": texts.text_embeds}
    if model.text_decoder is not None:
        states = model.caption_states(texts.token_states, model.memory(encoded), Packing(~is_padding))
        outputs["logits"] = model.vocabulary_logits(states)[~is_padding]
    return outputs


def relative_difference(ours: Tensor, theirs: Tensor) -> float:
    """Return the largest difference over max(1, the largest of theirs)."""
    return float((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1))


def token_rows(vocab_size: int, context_length: int, lengths: Sequence[int], seed: int) -> Tensor:
    """Return rows of random words between bos and eos, padded with 0 to the context; eos is the last id of all."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.zeros(len(lengths), context_length, dtype=torch.int64)
    for row, length in zip(rows, lengths, strict=True):
        row[1 : length - 1] = torch.randint(1, vocab_size - 2, (length - 2,), generator=generator)
        row[0], row[length - 1] = vocab_size - 2, vocab_size - 1
    return rows
