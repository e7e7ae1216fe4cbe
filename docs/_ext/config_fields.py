"""The fields of a configuration as a table: flag, default, and the sentence that is its help text."""

import ast
import dataclasses
import inspect
import textwrap
import types
import typing
from collections.abc import Iterator
from typing import Any

from docstrings import markdown

from sycoca.training.finetune import KINDS
from sycoca.training.recipes.pretraining.config import PretrainConfig


def table(kind: str) -> str:
    """Return the table of ``pretrain``, or of a fine-tuning task."""
    config = PretrainConfig if kind == "pretrain" else KINDS[typing.cast(Any, kind)].config
    rows = [f"| `{name}` | {default} | {text} |" for name, default, text in _fields(config)]
    return "\n".join(["| field | default | |", "| --- | --- | --- |", *rows, ""])


def _fields(config: type, prefix: str = "") -> Iterator[tuple[str, str, str]]:
    types_of, sentences = typing.get_type_hints(config), _sentences(config)
    for field in dataclasses.fields(config):
        below = _config_in(types_of[field.name])
        if below is not None:
            yield from _fields(below, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, _default(field), sentences.get(field.name, "").replace("|", r"\|")


def _config_in(kind: Any) -> type | None:
    """Return the dataclass that a field holds, None where it holds a value."""
    choices = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    return next((one for one in choices if dataclasses.is_dataclass(one) and isinstance(one, type)), None)


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default is not dataclasses.MISSING:
        return f"`{field.default}`"
    if field.default_factory is not dataclasses.MISSING:
        return f"`{field.default_factory()}`"
    return "by the preset"


def _sentences(config: type) -> dict[str, str]:
    """Return the text below each field, of base classes too."""
    found = {}
    for own in reversed([one for one in config.__mro__ if dataclasses.is_dataclass(one)]):
        (node,) = ast.parse(textwrap.dedent(inspect.getsource(own))).body
        assert isinstance(node, ast.ClassDef)
        for field, text in zip(node.body, node.body[1:], strict=False):
            match field, text:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str() as said)):
                    found[name] = " ".join(markdown(said).split())
    return found
