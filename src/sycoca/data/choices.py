"""Check of values that must be members of a closed set."""

from collections.abc import Iterable

from sycoca.plain_data import closest


def check_choice(what: str, value: str, allowed: Iterable[str]) -> None:
    """Raise ValueError unless the value is allowed; it lists what is, and the closest. ``what`` names the field."""
    allowed = list(allowed)
    if value in allowed:
        return
    meant = closest(value, allowed)
    hint = "" if meant is None else f" (did you mean {meant}?)"
    raise ValueError(f"{what} must be one of {', '.join(allowed)}, got {value!r}{hint}")


def check_skipped_ratio(value: float) -> None:
    """Raise ValueError for a largest fraction of skipped samples that is none."""
    if not 0 <= value <= 1:
        raise ValueError(f"max_skipped_ratio must lie between 0 and 1, got {value:g}")
