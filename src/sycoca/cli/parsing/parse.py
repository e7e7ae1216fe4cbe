"""Parsing of a command's arguments with tyro; help gets our usage line, errors become one line."""

import contextlib
import inspect
import io
import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import tyro

from sycoca.cli.help_text import folded
from sycoca.cli.parsing.explain import usage, why_refused
from sycoca.cli.parsing.placeholders import LongDefaults, registry
from sycoca.cli.parsing.table import Argument, arguments_of
from sycoca.cli.shared.usage import HelpRequested, UsageError

_MOST_COLUMNS = 100
"""Width of the list of options, on terminals that are as wide."""

_HELP_FLAGS = {"-h", "--help"}

_COMMON = "--verbose, --quiet, --no-verify and --debug go with every command: see sycoca --help."


def parse_arguments(
    kind: Any, words: Sequence[str], prog: str, *, default: object = None, description: str | None = None
) -> Any:
    """Return an instance of a dataclass with the values from the words.

    Args:
        kind: the dataclass, perhaps a generic one with its parameters; docstrings of class and fields are the help.
        words: the words after ``prog`` on the command line.
        prog: the program with the words of the command.
        default: a config; flags then carry the names of its sections: --training.steps.
        description: the help text instead of the class's docstring.

    Raises UsageError with one line for what cannot be parsed or has a value that the class refuses, HelpRequested
    for --help.
    """
    is_help = bool(_HELP_FLAGS & set(words))
    # Help shows only the spelling of a switch that changes its default; both spellings are accepted.
    markers = [tyro.conf.FlagCreatePairsOff] if is_help else []
    markers += [tyro.conf.OmitArgPrefixes if default is None else tyro.conf.AvoidSubcommands]
    defaults: dict[str, Any] = {} if default is None else {"default": default}
    printed, long_defaults = _Printed(), LongDefaults()
    try:
        with _one_column(), contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
            parsed = tyro.cli(
                kind,
                prog=prog,
                description="",
                args=list(words),
                config=markers,
                registry=registry(long_defaults),
                **defaults,
            )
    except ValueError as error:  # what the class says of its values, where tyro lets it through
        raise UsageError(str(error)) from error
    except SystemExit as stopped:
        table = _table(kind, default)
        if stopped.code == 0:
            about = inspect.getdoc(kind) if description is None else description
            raise HelpRequested(
                _help_text(long_defaults.put_into(printed.getvalue()), about or "", table, prog)
            ) from None
        reason = why_refused(table, words, prog) or _refusal(stopped)
        raise UsageError(reason or "cannot be read; --help shows what is") from None
    _check_several(parsed, _table(kind, default), prog)
    return parsed


@contextlib.contextmanager
def _one_column() -> Iterator[None]:
    """Limit the width of tyro's help within the context: on wide terminals it prints options in several columns."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(min(shutil.get_terminal_size((80, 24)).columns, _MOST_COLUMNS))
    try:
        yield
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before


def _table(kind: Any, default: object) -> list[Argument]:
    return arguments_of(kind, default, prefix=None if default is None else "")


def _check_several(parsed: Any, table: Sequence[Argument], prog: str) -> None:
    """Raise UsageError where nothing is given for an argument of several words, which tyro takes for none at least."""
    for argument in table:
        takes_several = argument.is_positional and argument.is_required and argument.num_values is None
        if takes_several and not getattr(parsed, argument.name.replace("-", "_")):
            raise UsageError(f"{argument.invocation} is missing; usage: {usage(table, prog)}")


class _Printed(io.StringIO):
    """A stream that captures tyro's output, with colors if stdout is a terminal."""

    def isatty(self) -> bool:
        return sys.__stdout__ is not None and sys.__stdout__.isatty()


def _help_text(printed: str, about: str, table: Sequence[Argument], prog: str) -> str:
    """Return tyro's list of arguments below a usage line that names what is required."""
    _, _, arguments = printed.partition("\n\n")
    # Groups are named like their flags, which carry no prefix.
    rows = "\n".join(re.sub(r" task\.(?=\w)", " ", row.rstrip()) for row in arguments.strip("\n").split("\n"))
    paragraphs = [_paragraph(text) for text in re.split(r"\n\s*\n", about)]
    return "\n\n".join([folded(f"usage: {usage(table, prog)}", hanging=7), *paragraphs, rows.rstrip(), folded(_COMMON)])


def _paragraph(text: str) -> str:
    """Return a paragraph of a docstring, wrapped; one with indented lines is a table, and is not changed."""
    return text if "\n " in text else folded(" ".join(text.replace("``", "").split()))


def _refusal(stopped: SystemExit) -> str | None:
    """Return the error message of a class about its values."""
    cause: BaseException | None = stopped
    while cause is not None:
        if isinstance(cause, ValueError):
            return str(cause)
        cause = cause.__context__
    return None
