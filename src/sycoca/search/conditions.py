"""Conditions of searches: SQL on the columns of an index."""

import re
from typing import TYPE_CHECKING

from sycoca.search.columns import SHOWN
from sycoca.terminal import one_line
from sycoca.texts import shortened

if TYPE_CHECKING:
    from sycoca.search.index_table import IndexTable

_QUOTED = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"")
_UNREADABLE = re.compile(r"[?;]|(?<!:):(?=\w)")
"""What LanceDB panics at (parameters: ``?``, ``:name``), and what it reads nothing after (``;``)."""


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
        reason = one_line(str(error).removeprefix("Invalid input, ").split("Valid fields")[0]).strip()
        raise _wrong(where, shortened(reason)) from error


def _wrong(where: str, reason: str) -> ValueError:
    return ValueError(
        f"the condition {shortened(where)!r} cannot be read: {reason.rstrip('.')}. It is SQL on the columns"
        f" {', '.join(SHOWN)}, such as: width > 640 AND array_has(captions, 'a dog')"
    )
