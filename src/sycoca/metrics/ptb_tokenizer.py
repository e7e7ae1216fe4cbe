"""The tokenizer of the official caption metrics: Penn Treebank tokens in lower case, without punctuation.

Its output equals that of Stanford CoreNLP 3.4.1 in pycocoevalcap (``PTBTokenizer -preserveLines -lowerCase``).
"""

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from sycoca.metrics.ptb_characters import SPACES
from sycoca.metrics.ptb_rules import ABBREVIATION, Action, rules
from sycoca.texts import refuse_text

_PUNCTUATION = frozenset(["''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"])
"""Tokens that are removed; brackets are kept as words (-lrb-), as in coco-caption."""

_LINE_ENDS = re.compile("[\r\n\u000b\u000c\u2028\u2029]")
_SPACES = re.compile(f"[{SPACES}]+")
_PLAIN_WORDS = re.compile("[A-Za-z]+(?:,? +[A-Za-z]+)*(?=,? )")
_LAST_WORD = re.compile(r"([A-Za-z]{2,})\.?(?= *(?:\n|$))")
_ABBREVIATION = re.compile(ABBREVIATION)
_SPLIT_WORDS = frozenset(["cannot", "gonna", "gotta", "lemme", "gimme", "wanna"])

_BRACKETS = {"(": "-LRB-", ")": "-RRB-", "{": "-LCB-", "}": "-RCB-", "[": "-LSB-", "]": "-RSB-"}
_FRACTIONS = {"¼": "1/4", "½": "1/2", "¾": "3/4", "⅓": "1/3", "⅔": "2/3"}
_MONEY = {"¢": "cents", "£": "#", "\u0080": "$", "¤": "$", "₠": "$", "€": "$"}
_QUOTES = {"'": "'", '"': "''"}
_QUOTES |= dict.fromkeys("\u0091\u2018\u201b\u2039", "`") | dict.fromkeys("\u0092\u2019\u203a", "'")
_QUOTES |= dict.fromkeys("\u0093\u201c\u00ab", "``") | dict.fromkeys("\u0094\u201d\u00bb", "''")


def tokenize_captions(captions: Sequence[str]) -> list[str]:
    """Return each caption's tokens, joined by spaces.

    Line ends within a caption count as spaces. As in the original, captions are lines of one text: whether a final "b."
    keeps its period depends on the next line.
    """
    refuse_text(captions, "captions")
    lines = [_LINE_ENDS.sub(" ", caption) for caption in captions]
    seen = [f"{line}\n{following}" for line, following in pairwise(lines)] + lines[-1:]
    return [" ".join(_words(text, len(line))) for text, line in zip(seen, lines, strict=True)]


def _words(text: str, end: int) -> Iterator[str]:
    """Return the words of the first ``end`` characters; the text after them can affect the last word."""
    words = (token.lower() for token in _tokens(text, end))
    return (word for word in words if word not in _PUNCTUATION)


def _tokens(text: str, end: int) -> Iterator[str]:
    position = 0
    while position < end:
        words, num_used = _plain_words(text, position) or _rare_token(text, position)
        yield from words
        position += num_used


def _plain_words(text: str, position: int) -> tuple[list[str], int] | None:
    # A fast path for most of a caption. Only the rule for words can match letters followed by a space or comma, and
    # only the rules for words and abbreviations the last word of a line.
    if text[position] == " ":
        spaces = _SPACES.match(text, position)
        assert spaces is not None, "a space is one of the spaces"
        return [], spaces.end() - position
    match = _PLAIN_WORDS.match(text, position)
    words = match[0].replace(",", " ").split() if match else []
    if match is None:
        match = _LAST_WORD.match(text, position)
        words = [match[1]] if match else []
    if match is None or any(word.lower() in _SPLIT_WORDS for word in words):
        return None
    if match.re is _LAST_WORD and match[0].endswith(".") and _ABBREVIATION.fullmatch(match[0]):
        return None
    return words, match.end() - position


def _rare_token(text: str, position: int) -> tuple[list[str], int]:
    furthest, action, piece = position, None, ""
    for pattern, its_action in _patterns():
        match = pattern.match(text, position)
        if match is not None and match.end(2) > furthest:
            furthest, action, piece = match.end(2), its_action, match[1]
    if action is None:
        return [], 1  # a character without a rule, such as an emoji, is removed
    token, num_used = _ACTIONS[action](piece)
    return ([token] if token else []), num_used


@functools.cache
def _patterns() -> list[tuple[re.Pattern[str], Action]]:
    return [(re.compile(f"({rule.token})(?=({rule.ahead}))", re.DOTALL), rule.action) for rule in rules()]


Spelling = Callable[[str], tuple[str, int]]
"""A match -> the token, empty for none, and the number of characters that it consumes."""


def _used_up(spell: Callable[[str], str]) -> Spelling:
    return lambda piece: (spell(piece), len(piece))


def _without_last(count: int) -> Spelling:
    return lambda piece: (piece[:-count], len(piece) - count)


def _acronym(piece: str) -> tuple[str, int]:
    # "U.S." keeps its period at the end of a sentence, a single letter does not.
    return (piece[:-1] if len(piece) == 2 else piece), len(piece) - 1


def _without_soft_hyphens(piece: str) -> str:
    return piece.replace("\u00ad", "") or "-"


def _spaces_kept(piece: str) -> str:
    return piece.replace(" ", "\u00a0")


def _spaces_and_brackets_kept(piece: str) -> str:
    return _spaces_kept(piece).replace("(", _BRACKETS["("]).replace(")", _BRACKETS[")"])


def _quote(piece: str) -> str:
    plain = piece.replace("&apos;", "'").replace("&quot;", '"')
    return "".join(_QUOTES.get(character, character) for character in plain)


def _dash(piece: str) -> str:
    return piece if piece.startswith("-") and len(piece) not in (3, 4) else "--"


_ACTIONS: dict[Action, Spelling] = {
    "keep": _used_up(str),
    "skip": _used_up(lambda _: ""),
    "split off two": _without_last(2),
    "split off three": _without_last(3),
    "split off period": _acronym,
    "without soft hyphens": _used_up(_without_soft_hyphens),
    "spaces kept": _used_up(_spaces_kept),
    "spaces and brackets kept": _used_up(_spaces_and_brackets_kept),
    "ampersand": _used_up(lambda piece: re.sub("(?ai:&amp;)", "&", piece)),
    "quote": _used_up(_quote),
    "fraction": _used_up(lambda piece: _FRACTIONS.get(piece, piece)),
    "money": _used_up(lambda piece: _MONEY.get(piece, piece)),
    "dash": _used_up(_dash),
    "ellipsis": _used_up(lambda _: "..."),
    "less": _used_up(lambda _: "<"),
    "greater": _used_up(lambda _: ">"),
    "bracket": _used_up(_BRACKETS.__getitem__),
}
