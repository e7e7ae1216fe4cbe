"""The words of a caption: where they stand in it, and how likely the text decoder finds them."""

from collections.abc import Sequence
from dataclasses import dataclass

from sycoca.inference.explaining.explanation import TokenLikelihood
from sycoca.inference.explaining.text_spans import TextSpan, locate_words
from sycoca.preprocess.tokenizer import Tokenizer, WordSpan


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptionWords:
    """The words of a caption, as far as they fit into the context."""

    positions: Sequence[WordSpan]
    """Positions of each word's tokens."""

    words: tuple[str, ...]
    """The words."""

    spans: tuple[TextSpan, ...]
    """Where they stand in the caption."""

    tokens: tuple[TokenLikelihood, ...] | None
    """All tokens after bos with their log-likelihoods; None where these are unknown."""

    log_likelihoods: tuple[float, ...] | None
    """Log-likelihood of each word: the sum over its tokens."""


def caption_words(
    caption: str, tokenizer: Tokenizer, context_length: int, log_likelihoods: Sequence[float] | None
) -> CaptionWords:
    """Return the words of a caption; ``log_likelihoods`` are those of its tokens after bos, where they are known."""
    positions = tokenizer.word_spans(caption, context_length)
    words = tuple(word.word for word in positions)
    ids = tokenizer.encode(caption, context_length)[1:]
    return CaptionWords(
        positions=positions,
        words=words,
        spans=locate_words(caption, words),
        tokens=None if log_likelihoods is None else _named(tokenizer.token_strings(ids), log_likelihoods),
        # The first likelihood is that of the token at position 1.
        log_likelihoods=None
        if log_likelihoods is None
        else tuple(sum(log_likelihoods[word.start - 1 : word.stop - 1]) for word in positions),
    )


def _named(texts: Sequence[str], log_likelihoods: Sequence[float]) -> tuple[TokenLikelihood, ...]:
    return tuple(
        TokenLikelihood(text=text, log_likelihood=value) for text, value in zip(texts, log_likelihoods, strict=True)
    )
