"""What messages say about a value that is not among the allowed ones."""

import difflib
from collections.abc import Iterable


def one_of(value: str, allowed: Iterable[str]) -> str:
    """Name what is allowed, what came, and what was probably meant."""
    allowed = list(allowed)
    close = difflib.get_close_matches(value, allowed, n=1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    return f"one of {', '.join(allowed)}, got {value!r}{hint}"
