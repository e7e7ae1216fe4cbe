"""Placeholders of values in usage lines and help: ``WEIGHTS``, ``SPEC``, ``N``, never the name of a type.

In order of precedence: what the argument says itself (``tyro.conf.arg(metavar=...)``), what arguments and config fields
of that name have everywhere, what its type has.
"""

import re
import shlex
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

from tyro.conf import Fixed, SuppressFixed, arg
from tyro.constructors import (
    MISSING,
    MISSING_NONPROP,
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    PrimitiveTypeInfo,
    StructConstructorSpec,
    StructFieldSpec,
    StructTypeInfo,
    UnsupportedTypeAnnotationError,
)

from sycoca.cli.shared.usage import NOT_GIVEN
from sycoca.facts.head_facts import HEADS
from sycoca.model.config import SyCoCaConfig
from sycoca.training.config import RunConfig

OF_NAMES = {
    "weights": "WEIGHTS",
    "data": "SPEC",
    "spec": "SPEC",
    "specs": "SPEC...",
    "train": "SPEC",
    "validation": "SPEC",
    "images": "IMAGE...",
    "image": "IMAGE",
    "compared": "RUN_OR_REPORT...",
    "index": "INDEX",
    "query": "QUERY",
    "class_names": "NAMES",
    "templates": "TEMPLATE...",
    "device": "DEVICE",
    "tokenizer": "TOKENIZER.json",
    "betas": "X X",
    "predictions": "FILE.json",
    "references": "FILE.json|SPEC",
    "preset": "PRESET",
    "rows": "ROW...",
    "frozen": "PART...",
    "parts": "PART...",
    "cache_folder": "FOLDER",
    "out": "RUN",
    "wandb": "PROJECT",
    "keep_best": "METRIC",
    "message": "MESSAGE",
    "ray_address": "ADDRESS",
}
"""Placeholders of arguments and fields by their name."""

_LONG = 30
"""Characters from which a default may not fit beside the indent of a narrow terminal."""

_WORDS = {"preset", "task", "weights"}
"""Fields of a run's config that are words of its command, and so are no flags."""

_HEAD_SIZES = {facts.size_field for facts in HEADS.values()}
"""Fields of a model's config that fine-tuning sets, and so are no flags."""

OF_TYPES: dict[type, str] = {int: "N", float: "X", str: "TEXT", Path: "FILE"}
"""Placeholders of all others by the type of the value."""


def placeholder_of(name: str, marks: tuple[Any, ...]) -> str | None:
    """Return the placeholder of a field by what it says itself and by its name; None leaves it to the type."""
    own = (mark.metavar for mark in marks if getattr(mark, "metavar", None) is not None)
    return next(own, OF_NAMES.get(name))


def is_flag(owner: Any, name: str) -> bool:
    """Return whether a field of a dataclass is an argument, and not what other arguments or fine-tuning decide."""
    if not isinstance(owner, type):
        return True
    return not (issubclass(owner, RunConfig) and name in _WORDS) and not (owner is SyCoCaConfig and name in _HEAD_SIZES)


def unwrapped(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return a type without ``Annotated``, and its annotations."""
    marks: tuple[Any, ...] = ()
    while get_origin(hint) is Annotated:
        hint, marks = hint.__origin__, marks + hint.__metadata__
    return hint, marks


def union_members(hint: Any) -> tuple[Any, ...]:
    """Return the members of a union, or the type alone."""
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def registry(defaults: "LongDefaults") -> ConstructorRegistry:
    """Return tyro's rules with our placeholders; ``T | None`` shows that of T and takes "None" as well.

    Long defaults get stand-ins in the help, see `LongDefaults`.
    """
    rules = ConstructorRegistry()
    rules.primitive_rule(_plain_rule)
    rules.primitive_rule(_optional_rule)
    rules.struct_rule(_StructRule(defaults))
    return rules


class LongDefaults:
    """Defaults too long for a line of help: tyro would break them within, so it gets stand-ins."""

    def __init__(self) -> None:
        self._values: list[str] = []

    def hint(self, default: object) -> str | None:
        """Return the remark about a default that stands in for it; None for one that needs none."""
        if not isinstance(default, str) or len(default) < _LONG:
            return None
        self._values.append(default)
        return f"(default: {_stand_in(len(self._values) - 1)})"

    def put_into(self, text: str) -> str:
        """Return the text with the defaults, each on a line of its own."""
        for number, value in enumerate(self._values):
            pattern = rf"(?m)^( *)(.*?) *{re.escape(_stand_in(number))}\)"
            text = re.sub(pattern, lambda found: _on_its_own_line(found[1], found[2], shlex.quote(value)), text)  # noqa: B023
        return text


def _stand_in(number: int) -> str:
    return f"\N{LEFT WHITE SQUARE BRACKET}{number}\N{RIGHT WHITE SQUARE BRACKET}"


def _on_its_own_line(indent: str, before: str, value: str) -> str:
    return f"{indent}{before}\n{indent}{value})" if before else f"{indent}{value})"


class _StructRule:
    """tyro's own rule for dataclasses, with placeholders by the names of fields."""

    def __init__(self, defaults: LongDefaults) -> None:
        self._is_asking = False
        self._defaults = defaults

    def __call__(self, info: StructTypeInfo) -> StructConstructorSpec | None:
        if self._is_asking:
            return None
        with self._asking():
            spec = ConstructorRegistry.get_struct_spec(info)
        if not isinstance(spec, StructConstructorSpec):
            return None
        return replace(
            spec, fields=tuple(_shown(field, self._defaults, is_flag(info.type, field.name)) for field in spec.fields)
        )

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Disable this rule within the context, so that tyro applies its other rules."""
        self._is_asking = True
        try:
            yield
        finally:
            self._is_asking = False


def _shown(field: StructFieldSpec, defaults: LongDefaults, is_argument: bool) -> StructFieldSpec:
    """Return a field with its placeholder, and with its help as paragraphs without the line breaks of the source."""
    if not is_argument:
        return replace(field, type=SuppressFixed[Fixed[field.type]])
    plain, marks = unwrapped(field.type)
    own = placeholder_of(field.name, marks)
    kind: Any = field.type
    if own is not None and bool not in union_members(plain):
        # tyro takes several values for none at least.
        is_required = own.endswith("...") and field.default in (MISSING, MISSING_NONPROP)
        hint = "(required)" if is_required else defaults.hint(field.default)
        kind = Annotated[kind, arg(metavar=own, help_behavior_hint=hint)]
    text = _unbroken(field.helptext)
    # Where the text does not say what None means, the argument is one that may be left out.
    if field.default is None and "None" not in (text or ""):
        kind = Annotated[kind, arg(metavar=own, help_behavior_hint="")]
    if field.default in (NOT_GIVEN, ()):
        remark = "(default: empty)" if field.default == () else "(required)"
        kind = Annotated[kind, arg(metavar=own, help_behavior_hint=remark)]
    # Help shows such a switch as --no-NAME, and its text says what it does while it is on.
    if field.default is True and text is not None:
        kind, text = Annotated[kind, arg(help_behavior_hint="(default: on)")], f"Switches off: {text}"
    return replace(field, type=kind, helptext=text)


def _unbroken(text: str | Callable[[], str | None] | None) -> str | None:
    text = text() if callable(text) else text
    return None if text is None else "\n\n".join(" ".join(one.split()) for one in text.split("\n\n"))


def _plain_rule(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    if info.type not in OF_TYPES:
        return None
    kind: Any = info.type
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=OF_TYPES[kind],
        instance_from_str=lambda words: kind(words[0]),
        is_instance=lambda value: isinstance(value, int | float if kind is float else kind),
        str_from_instance=lambda value: [str(value)],
    )


def _optional_rule(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    members = [member for member in union_members(info.type) if member is not type(None)]
    if len(members) != 1 or len(union_members(info.type)) != 2:
        return None
    inner = ConstructorRegistry.get_primitive_spec(PrimitiveTypeInfo.make(members[0], info.markers))
    if isinstance(inner, UnsupportedTypeAnnotationError) or inner.nargs != 1:
        return None
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=inner.metavar,
        choices=None if inner.choices is None else (*inner.choices, "None"),
        instance_from_str=lambda words: None if words == ["None"] else inner.instance_from_str(words),
        is_instance=lambda value: value is None or inner.is_instance(value),
        str_from_instance=lambda value: ["None"] if value is None else inner.str_from_instance(value),
    )
