"""The arguments of a command as a table, from the types that tyro parses: for usage, errors and completion."""

from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from tyro.conf import Positional, SuppressFixed

from sycoca.cli.parsing.placeholders import OF_TYPES, is_flag, placeholder_of, union_members, unwrapped
from sycoca.cli.shared.usage import NOT_GIVEN
from sycoca.plain_data import default_of

_POSITIONAL = get_args(Positional[int])[1]
_SUPPRESSED = get_args(SuppressFixed[int])[1]


class Argument(NamedTuple):
    """One argument of a command."""

    name: str
    """The flag, such as "--num-beams"; a positional argument's name without dashes."""

    placeholder: str
    """Placeholder of its value in usage lines; "" for a switch."""

    kinds: tuple[type, ...] = ()
    """Types of its values, beside the choices."""

    choices: tuple[str, ...] = ()
    """Values that are allowed beside those of the kinds."""

    num_values: int | None = 1
    """Words that follow the flag: 0 for a switch, None for any number."""

    is_required: bool = False

    @property
    def is_positional(self) -> bool:
        """Return whether it is a positional argument."""
        return not self.name.startswith("-")

    @property
    def invocation(self) -> str:
        """Return its form in a usage line."""
        return self.placeholder if self.is_positional else f"{self.name} {self.placeholder}".rstrip()

    def accepts(self, word: str) -> bool:
        """Return whether a word is a valid value."""
        return word in self.choices or any(_is_readable(word, kind) for kind in self.kinds)


def switch(name: str) -> Argument:
    """Return a flag without a value."""
    return Argument(name, "", num_values=0)


def arguments_of(kind: Any, default: Any = None, *, prefix: str | None = None) -> list[Argument]:
    """Return the arguments of a dataclass, in order.

    Args:
        kind: the dataclass.
        default: an instance of it, whose values are the defaults instead of the class's own.
        prefix: prefix of the flags' names; with None nested names have none either.
    """
    return list(_arguments_of(kind, default, prefix))


def _arguments_of(kind: Any, default: Any, prefix: str | None) -> Iterator[Argument]:
    hints, parameters = _hints(kind)
    for field in fields(get_origin(kind) or kind):
        hint, marks = unwrapped(hints[field.name])
        hint = parameters.get(hint, hint)
        if _SUPPRESSED in marks or not is_flag(get_origin(kind) or kind, field.name):
            continue
        value = default_of(field) if default is None else getattr(default, field.name)
        name = field.name.replace("_", "-")
        inner = None if prefix is None else f"{prefix}{name}."
        if is_dataclass(value):
            yield from _arguments_of(type(value), value, inner)
        elif is_dataclass(hint):
            yield from _arguments_of(hint, None, inner)
        elif not _holds_dataclasses(hint):
            yield _argument(f"{prefix or ''}{name}", hint, marks, value)


def _hints(kind: Any) -> tuple[dict[str, Any], dict[Any, Any]]:
    """Return the types of the fields, with the parameters of a generic class filled in."""
    origin = get_origin(kind) or kind
    parameters = dict(zip(getattr(origin, "__parameters__", ()), get_args(kind), strict=True))
    return get_type_hints(origin, include_extras=True), parameters


def _argument(name: str, hint: Any, marks: tuple[Any, ...], value: object) -> Argument:
    is_required = value is MISSING or value == NOT_GIVEN
    if hint is bool and not is_required:
        return switch(f"--{_negated(name) if value else name}")
    members, num_values = _members(hint)
    choices = tuple(str(choice) for member in members for choice in _choices(member))
    kinds = tuple(member for member in members if member in OF_TYPES)
    shown = [OF_TYPES[kind] for kind in kinds]
    placeholder = placeholder_of(name.rpartition(".")[2].replace("-", "_"), marks)
    if placeholder is None:
        placeholder = "|".join([*([f"{{{','.join(choices)}}}"] if choices else []), *shown])
    return Argument(
        name if _POSITIONAL in marks else f"--{name}",
        placeholder,
        kinds,
        (*choices, "None") if type(None) in members else choices,
        num_values,
        is_required,
    )


def _members(hint: Any) -> tuple[tuple[Any, ...], int | None]:
    """Return the types and choices of a value, and its number of words."""
    if get_origin(hint) is tuple:
        items = get_args(hint)
        return union_members(items[0]), None if items[-1] is Ellipsis else len(items)
    members = union_members(hint)
    sequences = [member for member in members if get_origin(member) is tuple]
    if not sequences:
        return members, 1
    # An optional sequence: its items, or the one word None.
    return (*_members(sequences[0])[0], type(None)), None


def _choices(member: Any) -> tuple[Any, ...]:
    if get_origin(member) is Literal:
        return get_args(member)
    return ("True", "False") if member is bool else ()


def _holds_dataclasses(hint: Any) -> bool:
    return any(is_dataclass(member) for member in union_members(hint))


def _negated(name: str) -> str:
    """Return the flag that turns a switch off, as tyro calls it: training.no-compile."""
    before, dot, last = name.rpartition(".")
    return f"{before}{dot}no-{last}"


def _is_readable(word: str, kind: type) -> bool:
    if kind in (str, Path):
        return True
    try:
        kind(word)
    except ValueError:
        return False
    return True
