"""A configuration as tables, in which values that differ from the defaults are marked."""

from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Any

from sycoca.plain_data import default_of


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfigRow:
    """A field."""

    name: str
    """Dotted name, relative to its section."""

    value: str
    """The value, formatted."""

    default: str | None
    """The default, where the value differs from it; None where it is the same or there is no default."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfigSection:
    """The fields of a section."""

    name: str
    """The config's field for the section; "general" for top-level values."""

    rows: tuple[ConfigRow, ...]
    """The section's fields."""


def config_sections(config: object) -> list[ConfigSection]:
    """Return the fields of a config dataclass by section, in order, nested ones with dotted names.

    Raises TypeError for anything but a dataclass instance.
    """
    if not is_dataclass(config) or isinstance(config, type):
        raise TypeError(f"expected a dataclass instance, got {type(config).__name__}")
    values = {field.name: (getattr(config, field.name), default_of(field)) for field in fields(config)}
    plain = [_row(name, *pair) for name, pair in values.items() if not is_dataclass(pair[0])]
    sections = [
        ConfigSection(name=name, rows=tuple(_rows(value, default, "")))
        for name, (value, default) in values.items()
        if is_dataclass(value)
    ]
    return [ConfigSection(name="general", rows=tuple(plain)), *sections]


def _rows(config: Any, default: object, prefix: str) -> Iterator[ConfigRow]:
    for field in fields(config):
        value = getattr(config, field.name)
        # A nested config with its own default is compared with that, not with the defaults of its class.
        own_default = getattr(default, field.name) if isinstance(default, type(config)) else default_of(field)
        if is_dataclass(value):
            yield from _rows(value, own_default, f"{prefix}{field.name}.")
        else:
            yield _row(f"{prefix}{field.name}", value, own_default)


def _row(name: str, value: object, default: object) -> ConfigRow:
    is_default = default is MISSING or value == default
    return ConfigRow(name=name, value=_shown(value), default=None if is_default else _shown(default))


def _shown(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, tuple):
        return ", ".join(map(_shown, value)) or "none"
    if isinstance(value, float):
        return f"{value:.6g}"
    return "none" if is_dataclass(value) else f"{value:,}" if isinstance(value, int) else str(value)
