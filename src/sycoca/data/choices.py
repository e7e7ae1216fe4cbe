"""A value that must be one of a closed set, and what the message says where it is not."""

from collections.abc import Iterable

from sycoca.plain_data import closest


def check_choice(what: str, value: str, allowed: Iterable[str]) -> None:
    """Raise ValueError that names what is allowed, what came, and what was probably meant; ``what`` names the field."""
    allowed = list(allowed)
    if value in allowed:
        return
    meant = closest(value, allowed)
    hint = "" if meant is None else f" (did you mean {meant}?)"
    raise ValueError(f"{what} must be one of {', '.join(allowed)}, got {value!r}{hint}")
