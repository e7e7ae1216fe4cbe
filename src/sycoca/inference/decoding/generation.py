"""Greedy decoding and sampling over any function that predicts the next token."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sycoca.inference.decoding.sampling import Sampling
from sycoca.preprocess.tokenizer import SpecialTokens


@runtime_checkable
class NextTokens(Protocol):
    """Unfinished captions, one per row, with predictions of their next tokens."""

    def advance(self, tokens: Int[Tensor, " rows"]) -> Float[Tensor, "rows vocab"]:
        """Append one token to every row; return the logits of the next, at least float32."""
        ...

    def reorder(self, rows: Int[Tensor, " kept"]) -> None:
        """Let row i continue row ``rows[i]``; rows that are not named are dropped."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class GeneratedCaption:
    """A caption as token ids, without special tokens."""

    tokens: tuple[int, ...]
    """What was generated, without bos and eos."""

    log_likelihood: float
    """Log-probability of the tokens given the image, natural logarithm, including the end token where there is one;
    also where guidance has chosen them."""

    is_complete: bool
    """Whether the model generated the end token; False for a caption that was cut at ``max_tokens``."""

    token_log_likelihoods: tuple[float, ...] = ()
    """Log-probability of each token, and of the end token where there is one; they sum to ``log_likelihood``."""


def generate(
    next_tokens: NextTokens,
    num_rows: int,
    special: SpecialTokens,
    *,
    min_tokens: int,
    max_tokens: int,
    sampling: Sampling | None = None,
) -> list[GeneratedCaption]:
    """Generate one caption per row: greedily, or with ``sampling`` at random.

    A finished row is dropped and costs nothing further. Padding and bos are never generated, eos not before
    ``min_tokens`` tokens. Raises ValueError where predictions are not finite.
    """
    captions: list[list[int]] = [[] for _ in range(num_rows)]
    all_log_probs: list[list[float]] = [[] for _ in range(num_rows)]
    rows = list(range(num_rows))
    tokens = torch.full((num_rows,), special.first_id)
    for step in range(max_tokens):
        log_probs = next_log_probs(next_tokens, tokens, special, may_end=step >= min_tokens)
        tokens = log_probs.argmax(-1) if sampling is None else sampling.draw(log_probs, rows)
        token_log_probs = log_probs.gather(1, tokens[:, None]).squeeze(1).tolist()
        for row, token, log_prob in zip(rows, tokens.tolist(), token_log_probs, strict=True):
            captions[row].append(token)
            all_log_probs[row].append(log_prob)
        unfinished = (tokens != special.eos_id).nonzero().squeeze(1)
        if len(unfinished) == 0:
            break
        if len(unfinished) < len(rows):
            rows = [rows[index] for index in unfinished.tolist()]
            tokens = tokens[unfinished]
            next_tokens.reorder(unfinished)
    return [finished_caption(ids, own, special) for ids, own in zip(captions, all_log_probs, strict=True)]


def next_log_probs(
    next_tokens: NextTokens, tokens: Int[Tensor, " rows"], special: SpecialTokens, *, may_end: bool
) -> Float[Tensor, "rows vocab"]:
    """Append tokens; return the next one's log-probabilities, minus infinity for tokens that must not be generated.

    The rest is not renormalized, so that sums are log-likelihoods under the model. Raises ValueError for NaN.
    """
    log_probs = next_tokens.advance(tokens).log_softmax(-1)
    # One NaN makes its whole row NaN.
    if bool(log_probs[:, 0].isnan().any()):
        raise ValueError("the model predicts NaN: its weights have diverged, or overflow in float16")
    forbidden = [special.pad_id, special.first_id] if may_end else [special.pad_id, special.first_id, special.eos_id]
    return log_probs.index_fill_(-1, torch.tensor(forbidden, device=log_probs.device), float("-inf"))


def finished_caption(
    tokens: list[int], token_log_probs: list[float], special: SpecialTokens, log_likelihood: float | None = None
) -> GeneratedCaption:
    """Return the caption without its end token, and whether it had one.

    ``token_log_probs`` are the tokens' log-probabilities; ``log_likelihood`` is their sum where it is known already.
    """
    is_complete = bool(tokens) and tokens[-1] == special.eos_id
    return GeneratedCaption(
        tokens=tuple(tokens[:-1] if is_complete else tokens),
        log_likelihood=sum(token_log_probs) if log_likelihood is None else log_likelihood,
        is_complete=is_complete,
        token_log_likelihoods=tuple(token_log_probs),
    )
