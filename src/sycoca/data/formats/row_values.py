"""Values of rows: as texts, labels and names, and in messages."""

from collections.abc import Sequence

from sycoca.texts import has_surrogates, is_visible, normal_form


def listed(value: object) -> list[object]:
    """Return a list unchanged, a single value as a list of it, and None as an empty one."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def as_text(value: object) -> str | None:
    """Return a text or whole number as text (5 in JSON is "5" in a table), None for all else."""
    if isinstance(value, str) and not has_surrogates(value):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def as_label(value: object) -> str | None:
    """Return a label or the name of a split as it is compared: composed, without spaces around it."""
    text = as_text(value)
    return None if text is None else normal_form(text.strip())


def as_name(value: object) -> str | None:
    """Return the name of an image; None for what cannot be one."""
    return value if isinstance(value, str) and is_visible(value) and not has_surrogates(value) else None


def shown(value: object) -> str:
    """Return a value for a message, cut to 60 characters."""
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def either(fields: Sequence[str]) -> str:
    """Return the names of fields for a message that none of them is there, the usual one first."""
    return " or ".join(f'"{name}"' for name in reversed(fields))
