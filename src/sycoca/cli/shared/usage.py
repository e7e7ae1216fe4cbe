"""Exceptions for usage errors and requests for help, distinct from errors at run time."""

import sys

from sycoca.terminal import line_width, wrapped


def print_error(message: str) -> None:
    """Print a message to stderr, on a terminal broken between words."""
    print(wrapped(message, line_width(sys.stderr)), file=sys.stderr)


class UsageError(Exception):
    """An invalid command line; exit code 2."""


NOT_GIVEN = "not given"
"""Default of a flag that is required unless a config file sets it; help says so, and usage lines show the flag."""


class HelpRequested(Exception):
    """Help was requested, or a group was given without a command."""

    def __init__(self, text: str, *, is_usage_error: bool = False) -> None:
        super().__init__(text)
        self.text = text
        self.is_usage_error = is_usage_error
