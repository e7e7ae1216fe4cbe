"""Conditions of searches: SQL on the columns of an index."""

import re
from typing import TYPE_CHECKING

from sycoca.search.index_facts import SHOWN
from sycoca.terminal import one_line
from sycoca.texts import normal_form, shortened

if TYPE_CHECKING:
    from sycoca.search.index_table import IndexTable

_QUOTED = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"")
_UNREADABLE = re.compile(r"[?;]|(?<!:):(?=\w)")
"""What LanceDB panics at (parameters: ``?``, ``:name``), and what it reads nothing after (``;``)."""


_PLACE_IN_SOURCE = re.compile(r",? /\S+\.rs:\d+(?::\d+)?")
"""Where LanceDB's source raises an error, on the machine that has compiled it."""

_NAME_OR_VALUE = re.compile(r"'(?:[^']|'')*'|\w+")
_COLUMNS = frozenset({*SHOWN, "file"})
_COMPOSED = frozenset({"label", "split"})
"""The columns whose texts are in Unicode's composed form; keys, files and captions are as they were written."""


def composed(where: str) -> str:
    """Return a condition whose values of labels and splits have the form that an index has them in.

    A value belongs to the column that is named last before it, or else to the first one.
    """
    if where.isascii():
        return where
    column = next((name for name in map(str.lower, _NAME_OR_VALUE.findall(where)) if name in _COLUMNS), "")

    def in_form(found: re.Match[str]) -> str:
        nonlocal column
        part = found[0]
        if part.lower() in _COLUMNS:
            column = part.lower()
        return normal_form(part) if part.startswith("'") and column in _COMPOSED else part

    return _NAME_OR_VALUE.sub(in_form, where)


def num_matching(table: "IndexTable", where: str | None) -> int:
    """Return how many images fulfill a condition; all without one. Raises ValueError for a condition that is wrong."""
    if where is None:
        return table.count()
    bad = _UNREADABLE.search(_QUOTED.sub("", where))
    if bad is not None:
        raise _wrong(where, f"it has {bad[0]!r} outside of quotes")
    try:
        return table.count(where)
    except (ValueError, RuntimeError) as error:
        said = _PLACE_IN_SOURCE.sub("", str(error)).removeprefix("Invalid input, ")
        reason = one_line(said.split("Valid fields")[0]).strip()
        raise _wrong(where, shortened(reason)) from error


def _wrong(where: str, reason: str) -> ValueError:
    return ValueError(
        f"the condition {shortened(where)!r} cannot be read: {reason.rstrip('.')}. It is SQL on the columns"
        f" {', '.join(SHOWN)}, such as: width > 640 AND array_has(captions, 'a dog')"
    )
