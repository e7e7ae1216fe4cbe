"""Output of a command's result: a file, JSON or a table on stdout, with nothing else; and what was written where."""

import logging
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from rich.console import Console

logger = logging.getLogger(__name__)


@runtime_checkable
class Result(Protocol):
    """The result of a command."""

    def to_json(self) -> str:
        """Return the result as JSON."""
        ...


def show(
    result: Result, noun: str, *, out: Path | None, as_json: bool, print_table: "Callable[[Console], object]"
) -> None:
    """Save the result to ``out`` if given; print it as JSON if ``as_json``, or as a table without both."""
    from rich.console import Console

    from sycoca.plain_data import write_text

    if out is not None:
        write_text(out, result.to_json() + "\n")
    if as_json:
        print(result.to_json())
    elif out is None:
        print_table(Console())
    if out is not None:
        tell(noun, out)


def tell(noun: str, path: Path) -> None:
    """Say on stderr what was written and where, as the user can type it."""
    logger.info("%s in %s", noun, typed(path))


def print_path(noun: str, path: Path) -> None:
    """Print the path of what was written on stdout, for scripts; on a terminal a line says what it is."""
    if sys.stdout.isatty():
        print(f"{noun} in {typed(path)}")
    else:
        print(path)


def counted(number: int, noun: str) -> str:
    """Return "1 caption", "2 captions"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def typed(path: Path | str) -> str:
    """Return a path or SPEC as the user can type it."""
    return shlex.quote(str(path))
