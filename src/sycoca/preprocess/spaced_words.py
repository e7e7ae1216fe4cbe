"""Words of trained byte-level vocabularies: a word's first token begins with the space before it."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from typing import final

import tokenizers

from sycoca.facts.input_limits import input_limit

_WORD_START = "Ġ"
"""The space before a word, as the vocabulary writes it."""


@final
class SpacedWords:
    """Encodes and decodes the text between bos and eos."""

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        self._backend = backend

    def encode(self, text: str, count: int | None = None) -> list[int]:
        """Return the first ``count`` ids of a text, or all."""
        most = input_limit("word_characters")
        if len(text) <= most:
            return self._backend.encode(text, add_special_tokens=False).ids[:count]
        return list(islice(self._ids_of_words(text, most, count), count))

    def _ids_of_words(self, text: str, most: int, count: int | None = None) -> Iterator[int]:
        """Yield the ids word by word; the time that merging takes grows with the square of a word's characters.

        Of a text of which only ``count`` ids are wanted, only what can have an influence on them is split: splitting
        takes two hundred bytes a character.
        """
        backend = self._backend
        normalized = text if backend.normalizer is None else backend.normalizer.normalize_str(text)
        if count is not None:
            # The tokens reach so far; the last word that begins there has at most so many characters, or is cut anyway.
            normalized = normalized[: count * self._longest_token + most + 1]
        for word, (start, stop) in backend.pre_tokenizer.pre_tokenize_str(normalized):
            size = len(word) if stop - start <= most else most
            for begin in range(0, len(word), size or 1):
                yield from (token.id for token in backend.model.tokenize(word[begin : begin + size]))

    @cached_property
    def _longest_token(self) -> int:
        """Bytes of the longest token."""
        return max(map(len, self._backend.get_vocab()))

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids, without special tokens."""
        return self._backend.decode(ids, skip_special_tokens=True).removeprefix(" ")

    def begins_word(self, ids: Sequence[int], position: int) -> bool:
        """Return whether the token at a position is the first of its word."""
        piece = self._backend.id_to_token(ids[position])
        return piece is not None and piece.startswith(_WORD_START)


def cut_words(captions: Iterable[str]) -> Iterator[str]:
    """Yield captions, those with words that are too long to be merged as one in pieces: it takes quadratic time."""
    most = input_limit("word_characters")
    for caption in captions:
        words = caption.split() if len(caption) > most else []
        if max(map(len, words), default=0) <= most:
            yield caption
        else:
            yield from (word[begin : begin + most] for word in words for begin in range(0, len(word), most))
