"""Classifier-free guidance of captions (Kornblith et al., arXiv 2307.16686): the image counts more than language."""

from collections.abc import Sequence
from dataclasses import replace
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sycoca.inference.caption_likelihoods import token_log_likelihoods
from sycoca.inference.caption_rows import CaptionRows
from sycoca.inference.decoding.generation import GeneratedCaption
from sycoca.model.empty_memory import empty_memory
from sycoca.model.sycoca import SyCoCa
from sycoca.preprocess.token_batch import TokenBatch, pad_tokens
from sycoca.preprocess.tokenizer import SpecialTokens

_SCORED_AT_ONCE = 16
"""Captions whose likelihood is computed at a time: their logits are in memory for all positions."""


@final
class GuidedRows:
    """Next-token predictions with and without the image, side by side in one batch, with key-value caches."""

    def __init__(
        self,
        model: SyCoCa,
        memory: Float[Tensor, "images memory memory_width"],
        *,
        scale: float,
        rows_per_image: int,
        max_tokens: int,
        prompts: Int[Tensor, "images prompt"] | None = None,
    ) -> None:
        self._scale = scale
        self._num_rows = len(memory) * rows_per_image
        self._both = CaptionRows(
            model,
            torch.cat([memory, empty_memory(memory)]),
            rows_per_image=rows_per_image,
            max_tokens=max_tokens,
            prompts=None if prompts is None else prompts.repeat(2, 1),
        )

    def advance(self, tokens: Int[Tensor, " rows"]) -> Float[Tensor, "rows vocab"]:
        """Append one token to every row; return scale * log p(next, given the image) + (1 - scale) * log p(next).

        As logits: whoever normalizes them has a distribution, so that the log-likelihoods of beams only fall.
        """
        given_image, without = self._both.advance(tokens.repeat(2)).log_softmax(-1).chunk(2)
        return self._scale * given_image + (1 - self._scale) * without

    def reorder(self, rows: Int[Tensor, " kept"]) -> None:
        """Let row i continue row ``rows[i]`` of the same image, in both halves."""
        self._both.reorder(torch.cat([rows, rows + self._num_rows]))
        self._num_rows = len(rows)


def with_likelihoods(
    model: SyCoCa,
    memory: Float[Tensor, "images memory memory_width"],
    captions: Sequence[GeneratedCaption],
    special: SpecialTokens,
    prompts: Int[Tensor, "images prompt"] | None = None,
) -> list[GeneratedCaption]:
    """Return captions, one per image, with their log-likelihoods given the image in place of guided ones."""
    found: list[GeneratedCaption] = []
    for start in range(0, len(captions), _SCORED_AT_ONCE):
        rows = slice(start, start + _SCORED_AT_ONCE)
        before = [[special.first_id]] * len(captions[rows]) if prompts is None else prompts[rows].tolist()
        sequences = [
            [*first, *caption.tokens, *([special.eos_id] if caption.is_complete else [])]
            for first, caption in zip(before, captions[rows], strict=True)
        ]
        padded = pad_tokens(sequences, special.pad_id)
        texts = TokenBatch(tokens=padded.tokens.to(memory.device), is_padding=padded.is_padding.to(memory.device))
        token_log_probs = token_log_likelihoods(model, memory[rows], texts).tolist()
        for caption, own, first, sequence in zip(captions[rows], token_log_probs, before, sequences, strict=True):
            generated = tuple(own[len(first) - 1 : len(sequence) - 1])
            found.append(replace(caption, log_likelihood=sum(generated), token_log_likelihoods=generated))
    return found
