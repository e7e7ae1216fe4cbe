"""Output of a command's result: a file, JSON or a table on stdout, with nothing else."""

import logging
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
        out.parent.mkdir(parents=True, exist_ok=True)
        write_text(out, result.to_json() + "\n")
        logger.info(f"{noun} in {out}")
    if as_json:
        print(result.to_json())
    elif out is None:
        print_table(Console())
