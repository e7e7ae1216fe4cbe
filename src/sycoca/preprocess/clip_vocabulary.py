"""CLIP's byte-pair vocabulary: how it is built from its merges, and how it encodes and decodes text.

It follows OpenAI's tokenizer (https://github.com/openai/CLIP), which open_clip and Hugging Face share: text is
repaired and lower-cased, then split into words, digits and runs of punctuation, and ``</w>`` ends the last token of
each.
"""

import gzip
import html
import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import Literal, assert_never, final

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

ClipPad = Literal["own", "zero"]

CLIP_BOS, CLIP_EOS = "<|startoftext|>", "<|endoftext|>"

_OWN_PAD = "<pad>"
_MERGES = Path(__file__).with_name("clip_merges.txt.gz")
_WORD_END = "</w>"
# U+0345 is excluded, as in open_clip: case folding turns it into the letter iota, but it is not a letter itself.
_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|\p{L}+|\p{N}|[^\s\p{L}\p{N}" + "\u0345]+"

_MAX_CACHED_WORDS = 2**15
"""Words whose ids are cached, some 10 MB; the captions of Flickr8k have 9,000 distinct words."""


_LONGEST_CACHED_WORD = 100
_LETTERS_OF_SLICE = 100_000

_LONG_NUMBER = re.compile(r"&#0*[1-9][0-9]{7,};?")


def clip_backend(pad: ClipPad) -> tokenizers.Tokenizer:
    """Build CLIP's tokenizer; its saved file does everything but repair broken text (ftfy)."""
    merges = clip_merges()
    pieces = _pieces(merges)
    ids = {piece: number for number, piece in enumerate(pieces)}
    backend = tokenizers.Tokenizer(models.BPE(ids, merges, end_of_word_suffix=_WORD_END))
    backend.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(tokenizers.Regex(_WORDS), "removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Replace(_WORD_END, " ")])
    backend.add_special_tokens([CLIP_BOS, CLIP_EOS])
    backend.post_processor = processors.TemplateProcessing(
        single=f"{CLIP_BOS} $A {CLIP_EOS}",
        special_tokens=[(token, backend.token_to_id(token)) for token in (CLIP_BOS, CLIP_EOS)],
    )
    _set_padding(backend, pad)
    return backend


def is_clip_vocabulary(backend: tokenizers.Tokenizer) -> bool:
    """Return whether the vocabulary marks word ends as CLIP's does."""
    return isinstance(backend.model, models.BPE) and backend.model.end_of_word_suffix == _WORD_END


@final
class ClipWords:
    """Encodes and decodes the text between bos and eos, with the ids of open_clip's tokenizer (``clean="lower"``).

    Letters and digits are those of Unicode 16, as in the tokenizers library and ``regex`` of 2024; with a later
    ``regex``, open_clip may split newer scripts differently.
    """

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        self._backend = backend
        self._cached_ids = lru_cache(maxsize=_MAX_CACHED_WORDS)(self._ids)

    def encode(self, text: str, count: int | None = None) -> list[int]:
        """Return the first ``count`` ids of a text, or all."""
        # No token crosses a space, so a word has the same ids in every caption and can be cached.
        words = chain.from_iterable(map(_slices, clean_words(text)))
        return list(islice(chain.from_iterable(map(self._ids_of_word, words)), count))

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids, with a space between any two words, digits or runs of punctuation."""
        return self._backend.decode(ids, skip_special_tokens=True).removesuffix(" ")

    def begins_word(self, ids: Sequence[int], position: int) -> bool:
        """Return whether a word begins at this position: after bos or the end of another word."""
        before = self._backend.id_to_token(ids[position - 1])
        return before is not None and before.endswith((CLIP_BOS, _WORD_END))

    def _ids_of_word(self, word: str) -> tuple[int, ...]:
        # The cache holds words, not megabytes.
        return self._cached_ids(word) if len(word) <= _LONGEST_CACHED_WORD else self._ids(word)

    def _ids(self, word: str) -> tuple[int, ...]:
        # The backend's normalizer serves only users of the saved file: its Unicode version differs from Python's.
        pieces = self._backend.pre_tokenizer.pre_tokenize_str(word)
        return tuple(token.id for piece, _ in pieces for token in self._backend.model.tokenize(piece))


def _slices(word: str) -> Sequence[str]:
    """Return a word as it is; one that is a book without spaces in slices, which take less memory."""
    if len(word) <= _LETTERS_OF_SLICE:
        return (word,)
    return [word[begin : begin + _LETTERS_OF_SLICE] for begin in range(0, len(word), _LETTERS_OF_SLICE)]


def clean_words(text: str) -> list[str]:
    """Repair a text, resolve its HTML entities, lower-case it, and split it at whitespace."""
    # All that ftfy and unescaping change contains a control character, an ampersand or a non-ASCII character.
    if text.isascii() and text.isprintable() and "&" not in text:
        return text.lower().split()
    import ftfy  # the import takes a tenth of a second, and most data never needs it

    # Python converts no number of more than 4,300 digits; no character has more than 7.
    readable = _LONG_NUMBER.sub("&#1114112;", text)
    return html.unescape(html.unescape(ftfy.fix_text(readable))).lower().split()


def clip_merges() -> list[tuple[str, str]]:
    """Return the pairs of pieces that CLIP's vocabulary merges, in order."""
    lines = gzip.decompress(_MERGES.read_bytes()).decode("utf-8").splitlines()
    return [(first, second) for first, second in (line.split(" ") for line in lines)]


def _pieces(merges: list[tuple[str, str]]) -> list[str]:
    # Bytes that are printable in Latin-1 come first, as themselves; the others follow as characters 256, 257, ...
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    characters = [chr(byte) for byte in printable] + [chr(256 + number) for number in range(256 - len(printable))]
    return [*characters, *(one + _WORD_END for one in characters), *(first + second for first, second in merges)]


def _set_padding(backend: tokenizers.Tokenizer, pad: ClipPad) -> None:
    match pad:
        case "own":
            backend.add_special_tokens([_OWN_PAD])
            backend.enable_padding(pad_id=backend.token_to_id(_OWN_PAD), pad_token=_OWN_PAD)
        case "zero":
            # Id 0 is the token "!"; with that name here, transformers would take every "!" in a text for padding.
            backend.enable_padding(pad_id=0, pad_token=CLIP_EOS)
        case unknown:
            assert_never(unknown)
