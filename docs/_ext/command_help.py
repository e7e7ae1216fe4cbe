"""The help of every command, as it is printed."""

import contextlib
import io
import os
from collections.abc import Iterator

from sycoca.cli.main import main
from sycoca.cli.tree import TREE, Group

COLUMNS = "88"


def all_commands() -> str:
    """Return a section per group of commands, and the help of every command in it."""
    return "\n".join(_sections())


def _sections() -> Iterator[str]:
    for title, entries in TREE.items():
        yield f"## {title[0].upper()}{title[1:]}\n"
        for name, entry in entries.items():
            words = [[name, below] for below in entry.commands] if isinstance(entry, Group) else [[name]]
            for command in words:
                yield f"### sycoca {' '.join(command)}\n\n````text\n{help_of(command)}\n````\n"


def help_of(words: list[str]) -> str:
    """Return what ``sycoca WORDS --help`` prints on a terminal of 88 columns."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = COLUMNS
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            code = main([*words, "--help"])
    finally:
        os.environ.pop("COLUMNS") if before is None else os.environ.update(COLUMNS=before)
    assert code == 0, words
    return printed.getvalue().rstrip()
