"""Text as people store and give it: one Unicode form for whatever is compared, one error for what is not UTF-8."""

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sycoca.facts.input_limits import InputLimitError, LimitName, input_limit, stated_limit

_OTHER_ENCODINGS = (b"\xff\xfe", b"\xfe\xff")
"""Byte-order marks of UTF-16."""

_NO_WORD_SPACES = re.compile(
    "[\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003fffd]"
)
"""Thai, Lao, Tibetan, Burmese and Khmer letters, kana, and Chinese characters."""

_UTF8_MARK = b"\xef\xbb\xbf"


def normal_form(text: str) -> str:
    """Return a text in Unicode's composed form (NFC).

    "é" is one character or two (e and a combining accent); both look the same and compare as different. Names, labels,
    answers and whatever metrics count are compared in this form. It changes no ASCII text.
    """
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def normal_names(names: Sequence[str]) -> list[str]:
    """Return names in their normal form; as they are where two different ones would become one."""
    composed = list(map(normal_form, names))
    return composed if len(set(composed)) == len(set(names)) else list(names)


def listed_texts(values: object, name: str) -> list[str]:
    """Return texts as a list; ``name`` is the argument's, for errors. Generators are consumed.

    Raises ValueError for a text alone, which Python would read character by character, for sets and mappings, whose
    order means nothing, and for an entry that is no text.
    """
    refuse_text(values, name)
    if isinstance(values, set | frozenset | Mapping):
        raise ValueError(f"{name} is a list of texts, got a {type(values).__name__}, which has no order; write a list")
    if not isinstance(values, Iterable):
        raise ValueError(f"{name} is a list of texts, got {type(values).__name__} {_shown(values)}")
    return [one_text(value, f"{name}[{index}]") for index, value in enumerate(values)]


def refuse_text(values: object, name: str) -> None:
    """Raise ValueError for a text in place of a list of them, which Python would read character by character."""
    if isinstance(values, str | bytes):
        raise ValueError(f"{name} is a list of texts, got the text {_shown(values)}; write [{_shown(values)}]")


def one_text(value: object, name: str) -> str:
    """Return a text as Python's own, whatever NumPy calls it. Raises ValueError where it is none.

    ``name`` is the argument's, for the error.
    """
    if isinstance(value, str):
        return value if type(value) is str else str(value)
    raise ValueError(f"{name} is a text, got {type(value).__name__} {_shown(value)}")


def shortened(text: str) -> str:
    """Return a text for an error message: one of more than 300 characters without its middle."""
    return text if len(text) <= 300 else f"{text[:200]}...{text[-80:]}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def has_surrogates(text: str) -> bool:
    """Return whether a text contains lone surrogates, which JSON allows and UTF-8 does not."""
    return not text.isprintable() and any("\ud800" <= character <= "\udfff" for character in text)


def is_visible(text: str) -> bool:
    """Return whether a text has anything but spaces and control characters."""
    # The first test is much faster and true for nearly every text.
    is_plain = text.isprintable() and not text.isspace() and text != ""
    return is_plain or any(character.isprintable() and not character.isspace() for character in text)


def has_no_word_spaces(text: str) -> bool:
    """Return whether a text holds characters of a script that sets no spaces between words."""
    return not text.isascii() and _NO_WORD_SPACES.search(text) is not None


def is_one_word(text: str) -> bool:
    """Return whether a text is a single word; without spaces between words, one of at most two characters."""
    return len(text.split()) == 1 and not (has_no_word_spaces(text) and len(text.strip()) > 2)


def without_mark(beginning: bytes, path: Path) -> bytes:
    """Return the first bytes of a text file without UTF-8's byte-order mark; ValueError where they are UTF-16's."""
    if beginning.startswith(_OTHER_ENCODINGS):
        raise ValueError(f"{path} is UTF-16; save it as UTF-8")
    return beginning.removeprefix(_UTF8_MARK)


def decoded(data: bytes, path: Path, first_line: int = 1) -> str:
    """Return lines of a file as text; ``first_line`` is the number of the first of them.

    Raises ValueError that names the line and the byte in it for what is not UTF-8, and the line for a NUL, which no
    text has.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line, byte = _place(data, error.start)
        raise ValueError(
            f"{path}, line {first_line + line} is not UTF-8 (byte {byte} of the line); save the file as UTF-8"
        ) from error
    if "\0" in text:
        line, _ = _place(data, data.index(b"\0"))
        raise ValueError(f"{path}, line {first_line + line} holds a NUL: it is no text, or UTF-16; save it as UTF-8")
    return text


def read_utf8(path: Path, limit: LimitName = "model_json_bytes") -> str:
    """Return a whole text file, without a byte-order mark.

    Raises ValueError as `decoded` does and where the file exceeds the ``limit``, and OSError.
    """
    with Path(path).open("rb") as file:
        data = file.read(input_limit(limit) + 1)
    if len(data) > input_limit(limit):
        raise InputLimitError(f"{path} is too large: {stated_limit(limit)}")
    return decoded(without_mark(data, path), path)


def read_small_json(path: Path) -> Any:
    """Return the content of a JSON file of a model. Raises ValueError where it is too large or not JSON, and OSError.

    A number that Python does not convert and brackets nested deeper than its parser allows are no JSON, either.
    """
    try:
        return json.loads(read_utf8(path))
    except RecursionError as error:
        raise ValueError(f"{path} is not JSON: it is nested too deeply") from error
    except ValueError as error:
        if str(path) in str(error):
            raise
        raise ValueError(f"{path} is not JSON: {error}") from error


def _place(data: bytes, position: int) -> tuple[int, int]:
    """Return how many lines are before a byte, and which byte of its own line it is, counted from 1."""
    return data.count(b"\n", 0, position), position - data.rfind(b"\n", 0, position)
