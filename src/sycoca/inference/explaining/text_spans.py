"""Where the words of an encoded caption stand in the caption as it was written."""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sycoca.texts import normal_form

CUT_CHARACTER = "\N{REPLACEMENT CHARACTER}"
"""What a truncated caption's last word decodes to where a character has lost some of its bytes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TextSpan:
    """A part of a caption; empty where a repaired text has words that the caption does not contain as they are."""

    start: int
    """Index of its first character in the caption."""

    end: int
    """Index after its last character."""


def locate_words(caption: str, words: Sequence[str]) -> tuple[TextSpan, ...]:
    """Return where each word stands in the caption, in order.

    Tokenizers lower-case, compose (NFC) and repair texts, so decoded words are compared in that form, without spaces.
    """
    characters = list(_folded_characters(caption))
    text = "".join(character for character, _ in characters)
    spans, position = [], 0
    for word in words:
        folded = "".join(character for character, _ in _folded_characters(word.rstrip(CUT_CHARACTER)))
        found = text.find(folded, position) if folded else -1
        if found < 0:
            end = characters[position - 1][1].end if position else 0
            spans.append(TextSpan(start=end, end=end))
            continue
        position = found + len(folded)
        spans.append(TextSpan(start=characters[found][1].start, end=characters[position - 1][1].end))
    return tuple(spans)


def _folded_characters(text: str) -> Iterator[tuple[str, TextSpan]]:
    """Yield the characters of a text, composed and in lower case, each with its span in the text; no spaces."""
    start = 0
    while start < len(text):
        end = start + 1
        while end < len(text) and unicodedata.combining(text[end]):
            end += 1
        for character in normal_form(text[start:end]).lower():
            if not character.isspace():
                yield character, TextSpan(start=start, end=end)
        start = end
