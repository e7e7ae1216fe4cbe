"""The completions after each command, from the tree and the arguments of its commands."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from sycoca.cli.command_line import arguments_class, command_module
from sycoca.cli.help_text import COMMON_OPTIONS
from sycoca.cli.parsing.table import Argument, arguments_of, switch
from sycoca.cli.tree import NAMES, Command, Group


class Node(NamedTuple):
    """A node of the tree of commands."""

    path: tuple[str, ...]
    """The words that lead here, without ``sycoca``."""

    words: dict[str, str]
    """Possible next words with summaries: commands, or the choices of a command's first argument."""

    flags: tuple[Argument, ...]
    """The flags that may follow."""

    @property
    def name(self) -> str:
        """Return the words joined by spaces, as the scripts compare them."""
        return " ".join(self.path)


def nodes() -> list[Node]:
    """Return all nodes of the tree, from ``sycoca`` itself downwards."""
    return list(_nodes())


def takes_file(flag: Argument) -> bool:
    """Return whether the flag's value may be a file."""
    return Path in flag.kinds or flag.placeholder in ("WEIGHTS", "SPEC", "RUN")


def filled(script: str, nodes: Sequence[Node], values: str, words: str) -> str:
    """Return a template of bash or zsh with the names of all commands, the cases of flags' values and of next words."""
    commands = "|".join(shlex.quote(node.name) for node in nodes if node.path)
    return script.replace("@COMMANDS@", commands).replace("@VALUES@", values).replace("@NODES@", words)


def _nodes() -> Iterator[Node]:
    common = (switch("--help"), *map(switch, COMMON_OPTIONS))
    yield Node((), _summaries(NAMES), (*common, switch("--version")))
    for name, node in NAMES.items():
        if isinstance(node, Group):
            yield Node((name,), _summaries(node.commands), common)
            for own, command in node.commands.items():
                yield _command((name, own), command, common)
        else:
            yield _command((name,), node, common)


def _summaries(nodes: Mapping[str, Command] | Mapping[str, Command | Group]) -> dict[str, str]:
    return {name: node.summary for name, node in nodes.items()}


def _command(path: tuple[str, ...], command: Command, common: tuple[Argument, ...]) -> Node:
    own = getattr(command_module(command), "table", None)
    arguments = own() if own else arguments_of(arguments_class(command)[0])
    first = next((argument for argument in arguments if argument.is_positional), None)
    choices = () if first is None else first.choices
    flags = tuple(argument for argument in arguments if not argument.is_positional)
    return Node(path, dict.fromkeys(choices, ""), (*flags, *common))
