"""Reading of spiece.model, a SentencePiece model of unigrams, into a tokenizer of the tokenizers library.

The file is a protocol buffer (sentencepiece_model.proto of https://github.com/google/sentencepiece), of which five
fields are needed; a package that reads all of it would be a dependency for the first SigLIP alone.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers

_PIECE, _TRAINER, _NORMALIZER = 1, 2, 3
"""Fields of a model."""

_TEXT, _SCORE, _TYPE = 1, 2, 3
"""Fields of a piece."""

_NORMAL, _UNKNOWN, _CONTROL = 1, 2, 3
"""Types of pieces; normal is the default."""

_KIND, _UNIGRAM = 3, 1
"""The trainer's field of the kind of model, and the kind that is read, the default."""

_CHARACTER_MAP = 2
"""The normalizer's field of its compiled rules."""

_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5
"""Types of values in a protocol buffer."""

_Value = int | bytes


def read_spiece(path: Path) -> tokenizers.Tokenizer:
    """Return the tokenizer of a spiece.model: every word, the first one too, begins with the mark of a space.

    Raises ValueError where the file is no model of unigrams.
    """
    try:
        fields = list(_fields(path.read_bytes()))
        pieces = [dict(_fields(_as_bytes(value))) for number, value in fields if number == _PIECE]
        scored = [(_as_bytes(piece[_TEXT]).decode(), _as_float(piece.get(_SCORE, bytes(4)))) for piece in pieces]
        types = [piece.get(_TYPE, _NORMAL) for piece in pieces]
        backend = tokenizers.Tokenizer(models.Unigram(scored, unk_id=types.index(_UNKNOWN)))
    except Exception as error:  # the library raises nothing narrower
        raise ValueError(f"{path} is not a SentencePiece model: {error}") from error
    if _setting(fields, _TRAINER, _KIND) not in (None, _UNIGRAM):
        raise ValueError(f"{path} is not a SentencePiece model of unigrams: give a tokenizer.json with --tokenizer")
    character_map = _setting(fields, _NORMALIZER, _CHARACTER_MAP)
    if character_map:
        backend.normalizer = normalizers.Precompiled(_as_bytes(character_map))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    backend.add_special_tokens([text for (text, _), kind in zip(scored, types, strict=True) if kind == _CONTROL])
    return backend


def _setting(fields: list[tuple[int, _Value]], section: int, name: int) -> _Value | None:
    """Return a field of a section; None where it has its default."""
    sections = (_as_bytes(value) for number, value in fields if number == section)
    return next((value for own in sections for number, value in _fields(own) if number == name), None)


def _fields(message: bytes) -> Iterator[tuple[int, _Value]]:
    """Yield number and value of each field of a message."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, position = _varint(message, position)
            yield number, value
            continue
        if kind == _BYTES:
            size, position = _varint(message, position)
        elif kind in (_FIXED_32, _FIXED_64):
            size = 4 if kind == _FIXED_32 else 8
        else:
            raise ValueError(f"unknown type {kind} of a value")
        if position + size > len(message):
            raise ValueError("it is cut short")
        yield number, message[position : position + size]
        position += size


def _varint(message: bytes, position: int) -> tuple[int, int]:
    """Return a number, seven bits of which are in each byte, and the position behind it."""
    value = shift = 0
    while True:
        if position >= len(message):
            raise ValueError("it is cut short")
        byte = message[position]
        value, shift, position = value | (byte & 0x7F) << shift, shift + 7, position + 1
        if byte < 0x80:
            return value, position


def _as_bytes(value: _Value) -> bytes:
    if isinstance(value, int):
        raise TypeError("a number stands where a text is expected")
    return value


def _as_float(value: _Value) -> float:
    (number,) = struct.unpack("<f", _as_bytes(value))
    return number
