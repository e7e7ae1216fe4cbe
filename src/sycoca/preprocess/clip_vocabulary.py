"""CLIP's byte-pair vocabulary: how it is made from its merges, and how it reads and writes text.

The facts are those of OpenAI's tokenizer (https://github.com/openai/CLIP), which open_clip and Hugging Face share:
text is repaired and lower-cased, words, digits and runs of punctuation stand by themselves, and ``</w>`` ends the last
piece of each.
"""

import gzip
import html
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Literal, assert_never, final

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

ClipPad = Literal["own", "zero"]

CLIP_BOS, CLIP_EOS = "<|startoftext|>", "<|endoftext|>"

_OWN_PAD = "<pad>"
_MERGES = Path(__file__).with_name("clip_merges.txt.gz")
_WORD_END = "</w>"
# U+0345 is left out, as by open_clip: compared without case it is the letter iota, as it stands it is none.
_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|\p{L}+|\p{N}|[^\s\p{L}\p{N}" + "\u0345]+"

_MOST_KNOWN_WORDS = 2**15
"""Words whose ids are kept in memory, some 10 MB; all captions of Flickr8k have 9,000."""


def clip_backend(pad: ClipPad) -> tokenizers.Tokenizer:
    """Build CLIP's tokenizer; written to a file it is complete but for the repair of broken text (ftfy)."""
    merges = _merges()
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
    """Whether words end as CLIP's do."""
    return isinstance(backend.model, models.BPE) and backend.model.end_of_word_suffix == _WORD_END


@final
class ClipWords:
    """Reads and writes the text between bos and eos, id by id as open_clip's tokenizer with ``clean="lower"``.

    Letters and digits are those of Unicode 16, as in the tokenizers library and ``regex`` of 2024; where open_clip
    meets a later ``regex``, it may split newer scripts otherwise.
    """

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        self._backend = backend
        self._known_ids = lru_cache(maxsize=_MOST_KNOWN_WORDS)(self._ids)

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text."""
        # No piece reaches over a space, so what stands between spaces has the same ids in every caption.
        return list(chain.from_iterable(map(self._known_ids, clean_words(text))))

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids, with a space between any two words, digits or runs of punctuation."""
        return self._backend.decode(ids, skip_special_tokens=True).removesuffix(" ")

    def begins_word(self, ids: Sequence[int], place: int) -> bool:
        """Whether a word begins there: behind bos or another word's end."""
        before = self._backend.id_to_token(ids[place - 1])
        return before is not None and before.endswith((CLIP_BOS, _WORD_END))

    def _ids(self, word: str) -> tuple[int, ...]:
        # The backend's normalizer is for those who have its file alone: it is of another Unicode version than Python.
        pieces = self._backend.pre_tokenizer.pre_tokenize_str(word)
        return tuple(token.id for piece, _ in pieces for token in self._backend.model.tokenize(piece))


def clean_words(text: str) -> list[str]:
    """Repair a text, resolve its HTML entities, lower-case it, and return what stands between spaces."""
    # Whatever ftfy repairs and unescaping resolves begins with a control character, an ampersand or more than ASCII.
    if text.isascii() and text.isprintable() and "&" not in text:
        return text.lower().split()
    import ftfy  # takes a tenth of a second, which most data never needs

    return html.unescape(html.unescape(ftfy.fix_text(text))).lower().split()


def _merges() -> list[tuple[str, str]]:
    lines = gzip.decompress(_MERGES.read_bytes()).decode("utf-8").splitlines()
    return [(first, second) for first, second in (line.split(" ") for line in lines)]


def _pieces(merges: list[tuple[str, str]]) -> list[str]:
    # Bytes that are printable in Latin-1 come first and stand for themselves; the others follow as 256, 257, ...
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    characters = [chr(byte) for byte in printable] + [chr(256 + number) for number in range(256 - len(printable))]
    return [*characters, *(one + _WORD_END for one in characters), *(first + second for first, second in merges)]


def _set_padding(backend: tokenizers.Tokenizer, pad: ClipPad) -> None:
    match pad:
        case "own":
            backend.add_special_tokens([_OWN_PAD])
            backend.enable_padding(pad_id=backend.token_to_id(_OWN_PAD), pad_token=_OWN_PAD)
        case "zero":
            # Id 0 is the piece "!", but to transformers every "!" in a text would then be padding: so another name.
            backend.enable_padding(pad_id=0, pad_token=CLIP_EOS)
        case unknown:
            assert_never(unknown)
