"""SentencePiece vocabularies, as of SigLIP: a piece that begins a word begins with the mark of a space."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import chain, islice
from typing import final

import tokenizers

from sycoca.facts.input_limits import input_limit

SPACE = "▁"
"""The mark of a space in a piece."""

_EOS = ("<eos>", "</s>")
"""Names of the token at the end of a text: Gemma's and T5's."""


def is_sentence_pieces(backend: tokenizers.Tokenizer) -> bool:
    """Return whether a vocabulary is one of SentencePiece."""
    return backend.token_to_id(SPACE) is not None


def end_and_padding(backend: tokenizers.Tokenizer) -> tuple[int, int]:
    """Return the ids of the end of a text and of padding. Raises ValueError where the file lacks one of them."""
    end = next((found for found in map(backend.token_to_id, _EOS) if found is not None), None)
    if end is None or backend.padding is None:
        raise ValueError(
            f"not a tokenizer of sycoca: its vocabulary is SentencePiece's, but lacks {' and '.join(_EOS)}, or the file"
            ' lacks the section "padding" with pad_id'
        )
    return end, backend.padding["pad_id"]


@final
class SentencePieces:
    """Encodes and decodes the text before eos; such texts begin without bos."""

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        self._backend = backend

    def encode(self, text: str, count: int | None = None) -> list[int]:
        """Return the first ``count`` ids of a text, or all."""
        most = input_limit("word_characters")
        if count is not None:
            text = text[: count * self._longest_piece + most]
        return list(islice(chain.from_iterable(map(self._ids, _parts(text, most))), count))

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids, without special tokens."""
        return self._backend.decode(ids, skip_special_tokens=True).strip()

    def begins_word(self, ids: Sequence[int], position: int) -> bool:
        """Return whether the token at a position is the first of its word."""
        piece = self._backend.id_to_token(ids[position])
        return position == 0 or (piece is not None and piece.startswith(SPACE))

    def _ids(self, part: str) -> list[int]:
        return self._backend.encode(part, add_special_tokens=False).ids

    @cached_property
    def _longest_piece(self) -> int:
        """Characters of the longest piece."""
        return max(map(len, self._backend.get_vocab()))


def _parts(text: str, most: int) -> Iterator[str]:
    """Yield a text as it is; one of more characters than ``most`` in parts, cut before spaces where there are any.

    The time that merging takes grows faster than a text does.
    """
    begin = 0
    while len(text) - begin > most:
        space = text.rfind(" ", begin + 1, begin + most)
        stop = space if space > 0 else begin + most
        yield text[begin:stop]
        begin = stop
    yield text[begin:]
