"""Logging on the command line: messages of the logger ``sycoca`` and its children go to stderr."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, final

from sycoca.terminal import say

if TYPE_CHECKING:
    from rich.console import Console


def stderr_console() -> "Console":
    """Return the console of progress bars, which is silent with --quiet."""
    return _console(is_quiet=logging.getLogger("sycoca").level >= logging.WARNING)


@cache
def _console(*, is_quiet: bool) -> "Console":
    """Return the single console of progress bars and messages, so that messages do not break a live bar."""
    from rich.console import Console

    return Console(stderr=True, quiet=is_quiet)


@contextmanager
def log_to_stderr(level: int = logging.INFO) -> Iterator[None]:
    """Show the library's messages from ``level`` on while the context is open, then restore what was before."""
    logger = logging.getLogger("sycoca")
    handler, level_before = _StderrHandler(level), logger.level
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(level_before)
        logger.removeHandler(handler)


@final
class _StderrHandler(logging.Handler):
    """Prints each message as it is: rich's own handler would break long lines, and paths could not be copied."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print the message, unless the progress bar shows the same numbers."""
        if getattr(record, "is_in_bar", False):
            return
        style = "yellow" if record.levelno >= logging.WARNING else None
        say(_console(is_quiet=False), self.format(record), style=style)
