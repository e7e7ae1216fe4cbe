"""Keywords of public functions: a mistyped one is answered with the closest."""

import inspect
from collections.abc import Callable
from functools import cache, wraps
from typing import Any, ParamSpec, TypeVar, get_args

from sycoca.plain_data import did_you_mean

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


def suggests_keywords(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function with another TypeError for unknown keywords: it names the closest known one.

    Keywords of ``**options: Unpack[SomeTypedDict]`` are known, too.
    """
    known = cache(lambda: _keywords(function))

    @wraps(function)
    def checked(*args: P.args, **keywords: P.kwargs) -> R:
        for name in keywords:
            if name not in known():
                raise TypeError(f"{_name(function)}() has no option {name!r}{did_you_mean(name, known())}")
        return function(*args, **keywords)

    return checked


def suggests_fields(kind: type[T]) -> type[T]:
    """Return the class, whose constructor now answers an unknown keyword as `suggests_keywords` does."""
    kind.__init__ = suggests_keywords(kind.__init__)
    return kind


def check_type(value: object, kinds: type | tuple[type, ...], name: str, expected: str) -> None:
    """Raise ValueError where an argument of a user is of none of the kinds; ``expected`` says what it is."""
    if not isinstance(value, kinds):
        raise ValueError(f"{name} is {expected}, got {type(value).__name__} {repr(value)[:60]}")


def _name(function: Callable[..., Any]) -> str:
    parts = function.__qualname__.split(".")
    return parts[-2] if parts[-1] == "__init__" else parts[-1]


def _keywords(function: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of all keywords that a function takes."""
    names: list[str] = []
    for name, parameter in inspect.signature(function).parameters.items():
        match parameter.kind:
            case inspect.Parameter.VAR_KEYWORD:
                names += [key for options in get_args(parameter.annotation) for key in options.__annotations__]
            case inspect.Parameter.POSITIONAL_ONLY | inspect.Parameter.VAR_POSITIONAL:
                continue
            case _:
                names.append(name)
    return tuple(name for name in names if name != "self")
