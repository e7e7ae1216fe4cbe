"""Conditions of searches by strangers: comparisons on columns, and no expression that could take the server down.

LanceDB computes any SQL expression that DataFusion knows. ``length(repeat(file, 10000000)) > 1`` takes gigabytes, and
a sum of 900 numbers overflows the stack of the process.
"""

import re
from collections.abc import Iterator

from sycoca.serve.refusals import RefusedError

MAX_TOKENS = 200
"""Most names, values and signs of a condition: the parser's depth grows with them."""

FUNCTIONS = (
    "array_has",
    "array_has_all",
    "array_has_any",
    "array_length",
    "contains",
    "ends_with",
    "length",
    "lower",
    "starts_with",
    "upper",
)
"""Functions whose result is no larger than what they are given."""

_KEYWORDS = ("and", "between", "in", "like", "not", "or")
"""Words before brackets that call nothing, and before a number with a sign."""

_CALLED = (*FUNCTIONS, *_KEYWORDS)

_TOKEN = re.compile(
    r"""
    '(?:[^'\\]|'')*+'                      # a backslash could end another dialect's text earlier
    | `[^`\\]*+`
    | -?\d++(?:\.\d++)?(?:[eE][+-]?\d++)?
    | [A-Za-z_][A-Za-z_0-9.]*+ (?!['"`])   # E'..' and its like are texts with escapes
    | <= | >= | <> | != | [=<>(),\[\]]
    """,
    re.VERBOSE | re.ASCII,
)


def check_condition(condition: str) -> None:
    """Raise RefusedError for a condition that is more than comparisons on columns."""
    before = ""
    for count, token in enumerate(_tokens(condition), start=1):
        if count > MAX_TOKENS:
            raise RefusedError(413, f"the condition has more than {MAX_TOKENS} names, values and signs")
        if token == "(" and re.match("[`a-z_]", before) and before not in _CALLED:
            raise _refusal(f"{before[:100]}(...)")
        # After a value the sign would be that of a difference.
        if token.startswith("-") and not (before in _KEYWORDS or before[-1:] in "=<>(,["):
            raise _refusal("-")
        before = token.lower()


def _tokens(condition: str) -> Iterator[str]:
    position = 0
    while rest := condition[position:].lstrip():
        position = len(condition) - len(rest)
        found = _TOKEN.match(condition, position)
        if found is None:
            raise _refusal(rest[:1])
        yield found[0]
        position = found.end()


def _refusal(part: str) -> RefusedError:
    return RefusedError(
        422,
        f"a condition cannot have {part!r}: it compares columns (=, <>, <, >, AND, OR, NOT, IN, BETWEEN, LIKE, IS NULL;"
        f" {', '.join(FUNCTIONS)}), such as: width > 640 AND array_has(captions, 'a dog')",
    )
