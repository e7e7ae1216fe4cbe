"""Fields of other projects' JSON configs: each is of the kind that it should be, or an error names it."""

import math
from collections.abc import Mapping
from typing import Any

_MAY_BE_ZERO = frozenset({"num_register_tokens"})

_SIDES = frozenset({"image_size", "patch_size"})
"""Lengths that may be given for height and width."""


def section(described: Mapping[str, Any], name: str, where: str) -> dict[str, Any]:
    """Return an object within a config, empty where it is absent or null; ValueError where it is something else.

    ``where`` is what comes before the name in messages.
    """
    value = described.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"{where}{name} is {value!r}; expected an object with fields")
    return value


def with_own_values(defaults: Mapping[str, Any], described: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return the ``defaults`` with a config's own values in their place, and nothing else of the config.

    Raises ValueError where a value is of another kind than its default: a flag, a text, a whole number from 1 on, or a
    finite number above 0. ``where`` is what comes before the name in messages.
    """
    own = {
        name: _one_side(described[name]) if name in _SIDES else described[name] for name in defaults & described.keys()
    }
    for name, value in own.items():
        expected = _expected(defaults[name], value, least=0 if name in _MAY_BE_ZERO else 1)
        if expected is not None:
            raise ValueError(f"{where}{name} is {described[name]!r}; expected {expected}")
    return {**defaults, **own}


def three_numbers(value: object, where: str) -> tuple[float, float, float]:
    """Return numbers for red, green and blue, of which one may stand for all; ValueError for anything else."""
    values: list[Any] = list(value) if isinstance(value, list | tuple) else [value] * 3
    if len(values) == 3 and all(map(is_number, values)):
        first, second, third = map(float, values)
        return first, second, third
    raise ValueError(f"{where} must be a number for each of red, green and blue, got {value!r}")


def is_number(value: object) -> bool:
    """Return whether a value is a finite number, and no flag."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _expected(default: object, value: object, least: int) -> str | None:
    """Return what was expected in place of a value; None where it is of the default's kind."""
    match default:
        case bool():
            return None if isinstance(value, bool) else "true or false"
        case str():
            return None if isinstance(value, str) else "a name"
        case int():
            is_right = type(value) is int and value >= least
            return None if is_right else f"a whole number from {least} on"
        case _:
            is_right = is_number(value) and value > 0  # pyright: ignore[reportOperatorIssue]
            return None if is_right else "a number above 0"


def _one_side(value: object) -> object:
    """Return the length of both sides where they are equal; all else as it is."""
    return value[0] if isinstance(value, list) and len(value) == 2 and value[0] == value[1] else value
