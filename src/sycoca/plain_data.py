"""Conversion of config dataclasses to plain dictionaries and YAML files and back; errors name the full key.

Plain means dictionaries, lists, strings, numbers, booleans and None: the types of YAML and JSON.
"""

import difflib
import re
import types
from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from sycoca.facts.input_limits import InputLimitError, input_limit, stated_limit
from sycoca.outputs.atomic import atomic_file
from sycoca.texts import read_utf8, shortened

Plain = dict[str, Any]

_NO_FILE = "config"
"""Where data is that comes from no file, in errors."""

_LARGEST_FLOAT = 10**308
_LONGEST_WORD = 100
"""Letters up to which a mistyped word is compared with others; comparing takes quadratic time."""
T = TypeVar("T")


def to_plain(config: object) -> Plain:
    """Return a config dataclass as nested dictionaries, in the order of its fields, tuples as lists."""
    if not is_dataclass(config) or isinstance(config, type):
        raise TypeError(f"expected a dataclass instance, got {type(config).__name__}")
    return {field.name: _plain_value(getattr(config, field.name)) for field in fields(config)}


def without_defaults(config: object) -> Plain:
    """Return a config as `to_plain` does, without the values that are the defaults of their fields, at any depth.

    A version that adds a field with a default returns the same for the configs of earlier versions.
    """
    if not is_dataclass(config) or isinstance(config, type):
        raise TypeError(f"expected a dataclass instance, got {type(config).__name__}")
    values = {field: getattr(config, field.name) for field in fields(config)}
    return {
        field.name: without_defaults(value) if is_dataclass(value) else _plain_value(value)
        for field, value in values.items()
        if is_dataclass(value) or value != default_of(field)
    }


def from_plain(cls: type[T], data: object, where: str = _NO_FILE) -> T:
    """Build a config dataclass from plain data; missing keys take the defaults.

    Raises ValueError with the full dotted name for unknown keys (with the closest known one), missing keys without a
    default, values of the wrong type and values outside a Literal.
    """
    if not isinstance(data, Mapping):
        raise ValueError(f"{where} must be a mapping of keys to values, got {_describe(data)}")
    known = {field.name: field for field in fields(cls)}  # pyright: ignore[reportArgumentType]
    for key in data:
        if key not in known:
            raise ValueError(f"{where}.{shortened(str(key))} is not a known key{did_you_mean(str(key), known)}")
    hints = get_type_hints(cls)
    values = {name: _typed_value(hints[name], value, f"{where}.{name}") for name, value in data.items()}
    for name, field in known.items():
        if name not in values and field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"{where}.{name} is missing and has no default")
    try:
        return cls(**values)
    except ValueError as error:
        # What a class says of its own fields names them, but not the file.
        if where.partition(".")[0] == _NO_FILE or where in str(error):
            raise
        raise ValueError(f"{where}: {error}") from error


def overlay(config: T, changes: object, where: str = "config") -> T:
    """Return the config with the keys of ``changes`` replaced, at any depth; errors as in `from_plain`."""
    if not isinstance(changes, Mapping):
        raise ValueError(f"{where} must be a mapping of keys to values, got {_describe(changes)}")
    return from_plain(type(config), _merged(to_plain(config), changes), where)


def changed_fields(old: object, new: object) -> list[str]:
    """Return the dotted names of the fields in which two configs of the same class differ."""
    return _changed_keys(to_plain(old), to_plain(new), prefix="")


def did_you_mean(word: str, allowed: Collection[str]) -> str:
    """Return the end of an error message about a mistyped word: the closest allowed word, or else all of them."""
    meant = closest(word, allowed)
    return f"; allowed: {', '.join(allowed)}" if meant is None else f"; did you mean '{meant}'?"


def closest(word: str, allowed: Iterable[str]) -> str | None:
    """Return the allowed word that is closest to a mistyped one; None where none is similar."""
    if len(word) > _LONGEST_WORD:
        return None
    return next(iter(difflib.get_close_matches(word, list(allowed), n=1)), None)


def read_yaml(path: Path) -> object:
    """Return the plain data of a YAML file; ValueError where it cannot be read, or with the line that is not YAML."""
    try:
        text = read_utf8(path, "yaml_bytes")
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}; name a YAML file") from error
    try:
        return _yaml_content(text)
    except InputLimitError as error:
        raise InputLimitError(f"{path}, {error}") from error
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not a YAML file: {shortened(' '.join(str(error).split()))}") from error
    # Dates like 2020-13-01, numbers of thousands of digits, unhashable keys.
    except (ValueError, TypeError, ArithmeticError, LookupError, RecursionError) as error:
        raise ValueError(f"{path} is not a YAML file: {shortened(str(error))}") from error


def _yaml_content(text: str) -> object:
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        return None if node is None else loader.construct_document(node)
    finally:
        loader.dispose()


def write_yaml(path: Path, data: object) -> None:
    """Write plain data as a YAML file, atomically."""
    write_text(path, yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=110))


def write_text(path: Path, text: str) -> None:
    """Write a file atomically: readers see the old text or the new one, never a partial file."""
    with atomic_file(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


class _Loader(yaml.SafeLoader):
    """Reads numbers as YAML 1.2 does (5e-4 is a string in 1.1, without a decimal point) and rejects duplicate keys.

    Depth, and the number of values with every alias replaced, are limited before anything is built.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._num_values: dict[int, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Return the next node. Raises InputLimitError with its line where it exceeds a limit."""
        self._depth += 1
        line = self.peek_event().start_mark.line + 1
        if self._depth > input_limit("yaml_depth"):
            raise InputLimitError(f"line {line} is nested too deeply: {stated_limit('yaml_depth')}")
        is_alias = self.check_event(yaml.AliasEvent)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if is_alias and id(node) not in self._num_values:
            raise InputLimitError(f"line {line} is an alias of what it is part of")
        if node is not None and self._count(node) > input_limit("yaml_values"):
            raise InputLimitError(f"line {line} holds too much: {stated_limit('yaml_values')}")
        return node

    def _count(self, node: yaml.Node) -> int:
        """Return the number of values below a node; an alias counts as often as it stands."""
        known = self._num_values.get(id(node))
        if known is not None:
            return known
        children: list[yaml.Node] = []
        if isinstance(node, yaml.SequenceNode):
            children = node.value
        elif isinstance(node, yaml.MappingNode):
            children = [child for pair in node.value for child in pair]
        self._num_values[id(node)] = 1 + sum(map(self._count, children))
        return self._num_values[id(node)]

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Return a mapping; a duplicate key is an error, since its first value would be lost silently."""
        # The base class rejects keys that are lists or mappings.
        keys = Counter(self.construct_object(key) for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        for key, count in keys.items():
            if count > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {shortened(repr(key))} occurs {count} times", node.start_mark
                )
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def default_of(field: Field[Any]) -> Any:
    """Return the default of a field; MISSING without one."""
    return field.default if field.default_factory is MISSING else field.default_factory()


def _plain_value(value: object) -> Any:
    if is_dataclass(value):
        return to_plain(value)
    if isinstance(value, tuple | list):
        return [_plain_value(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a config may not hold {type(value).__name__}")


def _typed_value(expected: Any, value: object, where: str) -> Any:
    origin = get_origin(expected)
    if is_dataclass(expected):
        return from_plain(expected, value, where)  # pyright: ignore[reportArgumentType]
    if origin is Literal:
        return _member(get_args(expected), value, where)
    if origin in (Union, types.UnionType):
        return _union_value(get_args(expected), value, where)
    if origin is tuple:
        return _tuple_value(get_args(expected), value, where)
    if expected is Path:
        return Path(_scalar(str, value, where))
    return _scalar(expected, value, where)


def _member(members: tuple[Any, ...], value: object, where: str) -> Any:
    for member in members:
        if type(member) is type(value) and member == value:
            return member
    shown = _representation(value)
    hint = did_you_mean(value if isinstance(value, str) else shown, [str(member) for member in members])
    raise ValueError(f"{where} is {shortened(shown)}{hint}")


def _union_value(members: tuple[Any, ...], value: object, where: str) -> Any:
    if value is None and type(None) in members:
        return None
    present = [member for member in members if member is not type(None)]
    if len(present) != 1:
        raise TypeError(f"{where}: only a type or None is supported, not a union of several types")
    return _typed_value(present[0], value, where)


def _tuple_value(members: tuple[Any, ...], value: object, where: str) -> tuple[Any, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise ValueError(f"{where} must be a list, got {_describe(value)}")
    if members[-1] is Ellipsis:
        members = (members[0],) * len(value)
    if len(members) != len(value):
        raise ValueError(f"{where} must have {len(members)} values, got {len(value)}")
    pairs = zip(members, value, strict=True)
    return tuple(_typed_value(member, item, f"{where}[{i}]") for i, (member, item) in enumerate(pairs))


def _scalar(expected: Any, value: object, where: str) -> Any:
    if expected not in (bool, int, float, str):
        raise TypeError(f"{where}: fields of type {expected} are not supported")
    # True is an int in Python, but "steps: yes" is a mistake; an integer is accepted as a float.
    if type(value) is expected:
        return value
    if expected is float and type(value) is int and abs(value) < _LARGEST_FLOAT:
        return float(value)
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "a string"}
    raise ValueError(f"{where} must be {names[expected]}, got {_describe(value)}")


def _describe(value: object) -> str:
    return "nothing" if value is None else f"{type(value).__name__} {shortened(_representation(value))}"


def _representation(value: object) -> str:
    try:
        return repr(value)
    except ValueError:  # a number of thousands of digits
        return "of thousands of digits"


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> Plain:
    result = dict(base)
    for key, value in changes.items():
        old = result.get(key)
        is_nested = isinstance(old, Mapping) and isinstance(value, Mapping)
        result[key] = _merged(old, value) if is_nested else value  # pyright: ignore[reportArgumentType]
    return result


def _changed_keys(old: Plain, new: Plain, prefix: str) -> list[str]:
    names: list[str] = []
    for key, value in old.items():
        other = new[key]
        if isinstance(value, dict) and isinstance(other, dict):
            names += _changed_keys(value, other, f"{prefix}{key}.")
        elif value != other:
            names.append(prefix + key)
    return names
