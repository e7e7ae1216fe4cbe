"""Functions and classes as Markdown: the signature as it stands in the source, then the docstring."""

import ast
import dataclasses
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from typing import Any

import sycoca

LINE = 96
"""Characters of a signature's line, beyond which every argument has its own."""


def public_names() -> str:
    """Return all public names, each a section."""
    return "\n".join(described(f"sycoca.{name}") for name in sycoca.__all__ if not name.startswith("__"))


def described(path: str) -> str:
    """Return the section of a function or class."""
    module, _, name = path.rpartition(".")
    value = getattr(importlib.import_module(module), name)
    shown = path if module == "sycoca" else name
    if isinstance(value, type):
        return "\n".join(_of_class(shown, value))
    return "\n".join(_of_function(f"## {shown}", shown, _definition(value)))


def markdown(docstring: str | None) -> str:
    """Return a docstring as Markdown, where code has single backticks."""
    return re.sub(r"`{2}([^`]+)`{2}", r"`\1`", textwrap.dedent(inspect.cleandoc(docstring or "")))


def _definition(value: Any) -> Any:
    return ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(value)))).body[0]


def _of_class(shown: str, value: type) -> Iterator[str]:
    """Yield a class with its fields and its public methods, those of its base classes in this package too."""
    own = [_definition(one) for one in value.__mro__ if one.__module__.startswith("sycoca.")]
    found = dict[str, ast.FunctionDef]()
    for one in (one for node in own for one in node.body if isinstance(one, ast.FunctionDef)):
        found.setdefault(one.name, one)
    yield f"## {shown}\n"
    if "__init__" in found:
        yield _code(signature(shown, found["__init__"], is_method=True))
    elif dataclasses.is_dataclass(value):
        yield _code(_call(shown, ["*", *_assigned(own)], ""))
    yield markdown(ast.get_docstring(own[0])) + "\n"
    if fields := [field for node in reversed(own) for field in _fields(node)]:
        yield "| field | type | |\n| --- | --- | --- |"
        yield from (f"| `{name}` | {_cell(kind)} | {text} |" for name, kind, text in fields)
        yield ""
    for method in found.values():
        if not method.name.startswith("_") and ast.get_docstring(method):
            yield from _of_function(f"### {method.name}", method.name, method, is_method=True)


def _of_function(heading: str, shown: str, node: ast.FunctionDef, *, is_method: bool = False) -> Iterator[str]:
    yield f"{heading}\n"
    is_property = any(isinstance(one, ast.Name) and one.id == "property" for one in node.decorator_list)
    if is_property and node.returns:
        yield _code(f"{shown} -> {_source(node.returns)}")
    else:
        yield _code(signature(shown, node, is_method=is_method and not _is_static(node)))
    yield markdown(ast.get_docstring(node)) + "\n"


def _is_static(node: ast.FunctionDef) -> bool:
    return any(isinstance(one, ast.Name) and one.id == "staticmethod" for one in node.decorator_list)


def _fields(node: ast.ClassDef) -> Iterator[tuple[str, str, str]]:
    """Yield name, type and sentence of the documented fields."""
    for field, text in zip(node.body, node.body[1:], strict=False):
        match field, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str() as said)):
                yield name, _source(field.annotation), " ".join(markdown(said).split())


def _cell(kind: str) -> str:
    """Return a type for a cell of a table, where a vertical line would end the cell."""
    return f"`{kind.replace(' | ', ' or ')}`"


def signature(shown: str, node: ast.FunctionDef, *, is_method: bool) -> str:
    """Return name, arguments and result as in the source; on several lines where one is too long."""
    arguments = list(_arguments(node.args))[int(is_method) :]
    returned = f" -> {_source(node.returns)}" if node.returns and node.name != "__init__" else ""
    return _call(shown, arguments, returned)


def _call(shown: str, arguments: list[str], returned: str) -> str:
    line = f"{shown}({', '.join(arguments)}){returned}"
    if len(line) <= LINE:
        return line
    return f"{shown}(\n" + "".join(f"    {one},\n" for one in arguments) + f"){returned}"


def _assigned(classes: list[ast.ClassDef]) -> Iterator[str]:
    """Yield the fields of a dataclass and of its base classes, with their defaults."""
    for field in (one for node in reversed(classes) for one in node.body if isinstance(one, ast.AnnAssign)):
        yield _source(field)


def _arguments(args: ast.arguments) -> Iterator[str]:
    positional = [*args.posonlyargs, *args.args]
    defaults = [None] * (len(positional) - len(args.defaults)) + list(args.defaults)
    for number, (one, default) in enumerate(zip(positional, defaults, strict=True), start=1):
        yield _argument(one, default)
        if number == len(args.posonlyargs):
            yield "/"
    if args.vararg:
        yield f"*{_argument(args.vararg, None)}"
    elif args.kwonlyargs:
        yield "*"
    for one, default in zip(args.kwonlyargs, args.kw_defaults, strict=True):
        yield _argument(one, default)
    if args.kwarg:
        yield f"**{_argument(args.kwarg, None)}"


def _argument(argument: ast.arg, default: ast.expr | None) -> str:
    kind = f": {_source(argument.annotation)}" if argument.annotation else ""
    equals = " = " if kind else "="
    return argument.arg + kind + (f"{equals}{_source(default)}" if default else "")


def _source(node: ast.AST) -> str:
    """Return an expression as code, with the quotes of this repository."""
    return ast.unparse(node).replace("'", '"')


def _code(text: str) -> str:
    return f"```python\n{text}\n```\n"
