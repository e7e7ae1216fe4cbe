"""Tokenizer: captions to token ids and back."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never, final

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from sycoca.preprocess.clip_vocabulary import (
    CLIP_BOS,
    CLIP_EOS,
    ClipPad,
    ClipWords,
    clip_backend,
    is_clip_vocabulary,
)
from sycoca.preprocess.config import TokenizerConfig
from sycoca.preprocess.sentence_pieces import SentencePieces, end_and_padding, is_sentence_pieces
from sycoca.preprocess.spaced_words import SpacedWords, cut_words
from sycoca.texts import read_utf8, refuse_text

PAD, BOS, EOS = "<pad>", "<bos>", "<eos>"

_PARALLELISM = "TOKENIZERS_PARALLELISM"


@dataclass(frozen=True, kw_only=True, slots=True)
class SpecialTokens:
    """The ids of the special tokens."""

    pad_id: int
    """Padding after shorter captions."""

    bos_id: int | None
    """Beginning of a caption; None where texts begin without it (SigLIP)."""

    eos_id: int
    """End of a caption."""

    @property
    def first_id(self) -> int:
        """The id that generated captions begin with. Raises ValueError where the vocabulary has none."""
        if self.bos_id is None:
            raise ValueError("texts of this vocabulary begin without bos, so no caption can be generated")
        return self.bos_id


@dataclass(frozen=True, kw_only=True, slots=True)
class WordSpan:
    """A word of an encoded caption and its token positions; CLIP's tokenizer also splits words from punctuation."""

    word: str
    """The word as decoded from its tokens; truncated where the caption is."""

    start: int
    """Position of its first token; bos, if any, is at 0."""

    stop: int
    """Position after its last token."""


@final
class Tokenizer:
    """A byte-level byte-pair tokenizer, trained on captions or CLIP's; or that of a SigLIP (SentencePiece).

    Encoding and decoding returns any text up to lower-casing, runs of whitespace and Unicode form (NFC); CLIP's also
    repairs broken text and puts spaces between words and punctuation, that of the first SigLIP drops punctuation.
    """

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        # A caption that contains the letters "<pad>" is text, not padding.
        backend.encode_special_tokens = True
        self._backend = backend
        if is_clip_vocabulary(backend):
            self.special = _clip_special_tokens(backend)
            self._words = ClipWords(backend)
        elif is_sentence_pieces(backend):
            eos_id, pad_id = end_and_padding(backend)
            self.special = SpecialTokens(pad_id=pad_id, bos_id=None, eos_id=eos_id)
            self._words = SentencePieces(backend)
        else:
            self.special = _special_tokens(backend)
            self._words = SpacedWords(backend)
        self._begin = [] if self.special.bos_id is None else [self.special.bos_id]

    def __repr__(self) -> str:
        return f"<Tokenizer: {self.vocab_size:,} token ids{', CLIP' if self.is_clip else ''}>"

    @classmethod
    def build(cls, captions: Iterable[str], config: TokenizerConfig) -> "Tokenizer":
        """Return a new model's tokenizer: trained on the captions, or CLIP's with an added padding token."""
        match config.kind:
            case "trained":
                return cls.train(captions, config)
            case "clip":
                return cls.clip(pad="own")
            case unknown:
                assert_never(unknown)

    @classmethod
    def train(cls, captions: Iterable[str], config: TokenizerConfig) -> "Tokenizer":
        """Train the vocabulary on captions; the same captions give the same tokenizer."""
        refuse_text(captions, "captions")
        backend = _untrained_backend(config)
        trainer = trainers.BpeTrainer(
            vocab_size=config.vocab_size,
            min_frequency=2,
            special_tokens=[PAD, BOS, EOS],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        with _no_threads():
            backend.train_from_iterator(cut_words(_at_least_one(captions)), trainer)
        return cls(backend)

    @classmethod
    def clip(cls, *, pad: ClipPad) -> "Tokenizer":
        """Return CLIP's tokenizer: 49,408 ids, equal to open_clip's.

        ``pad`` is the padding of shorter captions. own: a token ``<pad>`` with id 49408, for new models. zero: id 0,
        which is also the token "!", as open_clip's CoCa models were trained.
        """
        return cls(clip_backend(pad))

    @classmethod
    def load(cls, path: str | Path) -> "Tokenizer":
        """Read a file that ``save`` wrote. Raises ValueError where it is not a tokenizer file."""
        text = read_utf8(Path(path))
        try:
            backend = tokenizers.Tokenizer.from_str(text)
        except Exception as error:  # the library raises nothing narrower
            raise ValueError(f"{path} is not a tokenizer file: {error}") from error
        return cls(backend)

    def save(self, path: str | Path) -> None:
        """Write the tokenizer as one JSON file."""
        Path(path).write_text(self._backend.to_str(pretty=True), encoding="utf-8")

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return _from_json, (self._backend.to_str(),)

    @property
    def vocab_size(self) -> int:
        """Number of token ids, special tokens included."""
        return self._backend.get_vocab_size()

    @property
    def is_clip(self) -> bool:
        """Whether its vocabulary is CLIP's, for which texts are repaired and lower-cased before encoding."""
        return isinstance(self._words, ClipWords)

    def id_of(self, piece: str) -> int | None:
        """Return the id of a token as the vocabulary writes it; None where it has no such token."""
        return self._backend.token_to_id(piece)

    def encode(self, text: str, context_length: int) -> list[int]:
        """Return the ids of bos (if any), the text and eos; a text that is too long is cut and still ends with eos."""
        if context_length < 2:
            raise ValueError(f"context_length must be at least 2 (bos and eos), got {context_length}")
        ids = self._words.encode(text, context_length - len(self._begin) - 1)
        return [*self._begin, *ids, self.special.eos_id]

    def num_tokens(self, text: str) -> int:
        """Return the number of tokens of the whole text, bos (if any) and eos included."""
        return len(self._begin) + len(self._words.encode(text)) + 1

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text up to the first eos, without special tokens."""
        kept = []
        for token in ids:
            if token == self.special.eos_id:
                break
            kept.append(int(token))
        return self._words.decode(kept)

    def token_strings(self, ids: Iterable[int]) -> list[str]:
        """Return a readable string per id; special tokens are named like ``<bos>``."""
        return [self._backend.decode([int(token)], skip_special_tokens=False).strip() for token in ids]

    def word_spans(self, text: str, context_length: int) -> list[WordSpan]:
        """Return the words of a text and their positions in ``encode(text, context_length)``."""
        ids = self.encode(text, context_length)
        starts = [i for i in range(len(self._begin), len(ids) - 1) if self._words.begins_word(ids, i)]
        stops = [*starts[1:], len(ids) - 1]
        return [
            WordSpan(word=self.decode(ids[start:stop]), start=start, stop=stop)
            for start, stop in zip(starts, stops, strict=False)
        ]


@contextmanager
def _no_threads() -> Iterator[None]:
    """Train in this thread alone, unless the user has set what the library's threads depend on.

    The threads would outlive the training. Processes that are forked afterwards, such as the loader's workers, could
    then deadlock: Python 3.12 and newer warn of it, and so does tokenizers before 0.23.
    """
    if _PARALLELISM in os.environ:
        yield
        return
    os.environ[_PARALLELISM] = "false"
    try:
        yield
    finally:
        del os.environ[_PARALLELISM]


def may_be_longer(text: str, context_length: int) -> bool:
    """Return whether a text may have more tokens than that, so that it is worth counting them."""
    # An ASCII text has at most as many tokens as characters, with a leading space and both ends.
    return not text.isascii() or len(text) + 3 > context_length


def _from_json(text: str) -> Tokenizer:
    return Tokenizer(tokenizers.Tokenizer.from_str(text))


def _special_tokens(backend: tokenizers.Tokenizer) -> SpecialTokens:
    pad_id, bos_id, eos_id = (backend.token_to_id(token) for token in (PAD, BOS, EOS))
    if pad_id is None or bos_id is None or eos_id is None:
        raise ValueError(f"not a tokenizer of sycoca: its vocabulary lacks one of {PAD}, {BOS}, {EOS}")
    return SpecialTokens(pad_id=pad_id, bos_id=bos_id, eos_id=eos_id)


def _clip_special_tokens(backend: tokenizers.Tokenizer) -> SpecialTokens:
    bos_id, eos_id = (backend.token_to_id(token) for token in (CLIP_BOS, CLIP_EOS))
    if bos_id is None or eos_id is None or backend.padding is None:
        raise ValueError(
            f"not a tokenizer of sycoca: its vocabulary marks word ends as CLIP's, but lacks {CLIP_BOS}, {CLIP_EOS} or"
            ' the section "padding" with pad_id; Tokenizer.clip(...).save(...) writes one that has all three'
        )
    return SpecialTokens(pad_id=backend.padding["pad_id"], bos_id=bos_id, eos_id=eos_id)


def _untrained_backend(config: TokenizerConfig) -> tokenizers.Tokenizer:
    # The file says how texts are normalized: vocabularies trained before NFC was part of it keep their behavior.
    backend = tokenizers.Tokenizer(models.BPE())
    steps: list[normalizers.Normalizer] = [
        normalizers.NFC(),
        normalizers.Replace(tokenizers.Regex(r"\s+"), " "),
        normalizers.Strip(),
    ]
    if config.lowercase:
        steps.append(normalizers.Lowercase())
    backend.normalizer = normalizers.Sequence(steps)
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    backend.decoder = decoders.ByteLevel()
    return backend


def _at_least_one(captions: Iterable[str]) -> Iterable[str]:
    num_captions = 0
    for caption in captions:
        num_captions += 1
        yield caption
    if num_captions == 0:
        raise ValueError("a tokenizer needs captions to be trained on, got none")
