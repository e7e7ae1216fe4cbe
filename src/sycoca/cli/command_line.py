"""Dispatch of a command line: walk the tree of commands, import one module, parse and run.

A command's module has a dataclass ``Arguments`` whose ``run()`` does the work. Where the arguments depend on a file
that they name, the module has three functions instead: ``parse(words, prog)`` returns the arguments, ``check(words,
prog)`` parses them without opening what they name, and ``table()`` lists them for completion. A module that serves the
tasks of a group has ``described_arguments(task)``.
"""

import importlib
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NamedTuple, Protocol, runtime_checkable

from sycoca._version import __version__
from sycoca.cli.help_text import group_help_text, help_text
from sycoca.cli.shared.usage import HelpRequested, UsageError
from sycoca.cli.tree import NAMES, OLDER_NAMES, Command, Group
from sycoca.plain_data import did_you_mean

HELP_WORDS = ("-h", "--help", "help")


class FoundCommand(NamedTuple):
    """The node of the tree that the words of a command line lead to."""

    path: tuple[str, ...]
    """The words that name a group or command."""

    node: Command | Group | None
    """The named group or command; None is ``sycoca`` itself."""

    rest: list[str]
    """The remaining words."""

    @property
    def prog(self) -> str:
        """Return the program and the words of the path."""
        return " ".join(("sycoca", *self.path))

    def help_text(self) -> str:
        """Return the help of a group or of ``sycoca`` itself."""
        return group_help_text(self.path[-1], self.node) if isinstance(self.node, Group) else help_text()


@runtime_checkable
class Arguments(Protocol):
    """The parsed arguments of a command, which can be run."""

    def run(self) -> int:
        """Run the command, and return its exit code."""
        ...


def find(words: Sequence[str]) -> FoundCommand:
    """Return the node that the longest prefix of the words names."""
    path, node, names = (), None, NAMES
    older = next((name for name in OLDER_NAMES if tuple(words[: len(name)]) == name), ())
    words = [*OLDER_NAMES.get(older, ()), *words[len(older) :]]
    for word in words:
        if word not in names:
            break
        path, node = (*path, word), names[word]
        names = node.commands if isinstance(node, Group) else {}
    return FoundCommand(path, node, list(words[len(path) :]))


def parse(words: Sequence[str]) -> Arguments:
    """Import the command that the words name, and parse the remaining words.

    Raises UsageError for invalid words, HelpRequested where help is requested or a group is given without a command.
    """
    found = find(words)
    module = _module(found)
    own = getattr(module, "parse", None)
    return own(found.rest, found.prog) if own else _parsed(found)


def check(words: Sequence[str]) -> None:
    """Parse the words without running the command; files and folders that they name need not exist.

    Raises UsageError as `parse` does, and HelpRequested.
    """
    found = find(words)
    module = _module(found)
    own = getattr(module, "check", None)
    if own:
        own(found.rest, found.prog)
    else:
        _parsed(found)


def run(words: Sequence[str]) -> int:
    """Parse the words, run the command and return its exit code; errors are raised to the caller."""
    return parse(words).run()


def command_module(command: Command) -> ModuleType:
    """Import the module of a command."""
    return importlib.import_module(f"sycoca.cli.{command.module}")


def arguments_class(command: Command) -> tuple[Any, str | None]:
    """Return the dataclass that is parsed for a command, and its help text where that is not the docstring."""
    module = command_module(command)
    return (module.Arguments, None) if command.task is None else module.described_arguments(command.task)


def _module(found: FoundCommand) -> ModuleType:
    if isinstance(found.node, Command):
        return command_module(found.node)
    if not found.rest:
        raise HelpRequested(found.help_text(), is_usage_error=True)
    if found.rest[0] in HELP_WORDS:
        raise HelpRequested(found.help_text())
    word = found.rest[0]
    if word == "--version" and found.node is None:
        raise HelpRequested(f"sycoca {__version__}")
    if word.startswith("-"):
        raise UsageError(f"there is no {word}; {found.prog} --help shows the commands")
    names = NAMES if found.node is None else found.node.commands
    raise UsageError(f"there is no command {word!r}{did_you_mean(word, list(names))}")


def _parsed(found: FoundCommand) -> Arguments:
    # Imported here, since it imports tyro, which help and errors above do not need.
    from sycoca.cli.parsing.parse import parse_arguments

    assert isinstance(found.node, Command)
    kind, description = arguments_class(found.node)
    return parse_arguments(kind, found.rest, found.prog, description=description)
