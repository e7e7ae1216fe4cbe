"""Character classes of the Penn Treebank tokenizer, as the inside of a regular expression's brackets."""

import functools
import sys
import unicodedata
from collections.abc import Iterable, Iterator

MARKS = (
    r"\u02C2-\u02C5\u02D2-\u02DF\u02E5-\u02EB\u02ED\u02EF-\u036F\u0375\u0378\u0379\u0384\u0385\u03F6\u0483-\u0487"
    r"\u055A-\u055F\u0591-\u05BD\u05BF\u05C1\u05C2\u05C4\u05C5\u05C7\u0615-\u061A\u064B-\u065E\u0670\u06D6-\u06E4"
    r"\u06E7-\u06ED\u06FD\u06FE\u070F\u0711\u0730-\u074C\u07A6-\u07B0\u07EB-\u07F3\u0900-\u0903\u093C\u093E-\u094E"
    r"\u0951-\u0955\u0962\u0963\u0981-\u0983\u09BC\u09BE-\u09C4\u09C7\u09C8\u09CB-\u09CD\u09D7\u09E2\u09E3"
    r"\u0A01-\u0A03\u0A3C\u0A3E-\u0A4F\u0A81-\u0A83\u0ABC\u0ABE-\u0ACF\u0B82\u0BBE-\u0BC2\u0BC6-\u0BC8\u0BCA-\u0BCD"
    r"\u0C01-\u0C03\u0C3E-\u0C56\u0D3E-\u0D44\u0D46-\u0D48\u0E31\u0E34-\u0E3A\u0E47-\u0E4E\u0EB1\u0EB4-\u0EBC"
    r"\u0EC8-\u0ECD"
)
"""Accents and vowel signs that are parts of words."""

SYMBOLS = (
    r"+%&~^|\\\u00A1\u00A6-\u00A9\u00AC\u00AE-\u00B4\u00B6-\u00B9\u00BF\u00D7\u00F7\u037E\u0387\u0589\u05BE\u05C0"
    r"\u05C3\u05C6\u05F3\u05F4\u0600-\u0603\u0606-\u060A\u060C\u0614\u061B\u061E\u061F\u066A\u066D\u06D4\u0700-\u070D"
    r"\u07F6-\u07F8\u0964\u0965\u0E4F\u1FBD\u2016\u2017\u2020-\u2023\u2030-\u2038\u203B\u203E-\u2042\u2044"
    r"\u207A-\u207E\u208A-\u208E\u2100-\u214F\u2190-\u2BFF\u3002\u3012\u30FB\uFF01-\uFF0F\uFF1A-\uFF20\uFF3B-\uFF40"
    r"\uFF5B-\uFF65"
)
"""Signs that are tokens by themselves."""

SPACES = r" \t\u00A0\u2000-\u200A\u3000"
"""What separates tokens; line ends are spaces before a caption comes here."""

CURRENCIES = r"\u0080\u00A2-\u00A5\u060B\u0E3F\u20A0\u20A4\u20AC\uFFE0\uFFE1\uFFE5\uFFE6"
"""Signs of money beside the dollar."""

QUOTES = r"`\u0091-\u0094\u00AB\u00BB\u2018-\u201F\u2039\u203A"
"""Quotation marks beside the typewriter's."""


@functools.cache
def letters() -> str:
    """Return the letters of the Basic Multilingual Plane, of which there are some 48,000."""
    return _class_of(code for code in range(0x10000) if unicodedata.category(chr(code)).startswith("L"))


@functools.cache
def digits() -> str:
    """Return the decimal digits of all scripts in the Basic Multilingual Plane."""
    return _class_of(code for code in range(0x10000) if unicodedata.category(chr(code)) == "Nd")


def _class_of(codes: Iterable[int]) -> str:
    return "".join(rf"\u{first:04X}-\u{last:04X}" for first, last in _runs(codes))


def _runs(codes: Iterable[int]) -> Iterator[tuple[int, int]]:
    first = last = -1
    for code in (*codes, sys.maxunicode + 1):
        if code != last + 1:
            if last >= 0:
                yield first, last
            first = code
        last = code
