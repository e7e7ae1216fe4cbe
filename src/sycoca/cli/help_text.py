"""Help texts of ``sycoca`` and of its groups, without importing any command, and their layout."""

import textwrap
from collections.abc import Mapping

from sycoca.cli.tree import TREE, Command, Group

WIDTH = 80
"""Width of help texts in columns."""

COMMON_OPTIONS = {
    "--verbose": "show messages meant for debugging, too",
    "--quiet": "show warnings and errors only, and no progress bars",
    "--debug": "show the traceback of an error",
}
"""Options of every command, anywhere on its line."""


def help_text() -> str:
    """Return the help of ``sycoca``."""
    width = max(len(name) for nodes in TREE.values() for name in nodes)
    sections = [f"{heading}:\n{_table(nodes, width)}" for heading, nodes in TREE.items()]
    return "\n\n".join(
        [
            "usage: sycoca COMMAND ...",
            folded("Contrastive captioners made symmetric, with attentive masking (SyCoCa, arXiv 2401.02137)."),
            *sections,
            f"options of every command:\n{rows(COMMON_OPTIONS, width)}",
            "sycoca COMMAND --help shows a command's arguments; sycoca --version the version.",
        ]
    )


def group_help_text(name: str, group: Group) -> str:
    """Return the help of a group."""
    width = max(map(len, group.commands))
    return (
        f"usage: sycoca {name} COMMAND ...\n\n{group.summary[0].upper()}{group.summary[1:]}.\n\n"
        f"commands:\n{_table(group.commands, width)}\n\n"
        f"sycoca {name} COMMAND --help shows a command's arguments."
    )


def rows(texts: Mapping[str, str], width: int | None = None) -> str:
    """Return names with their texts beside them; long texts are wrapped."""
    width = max(map(len, texts)) if width is None else width
    return "\n".join(folded(f"  {name:<{width}}  {text}", hanging=width + 4) for name, text in texts.items())


def folded(text: str, *, hanging: int = 0) -> str:
    """Return one paragraph as lines of at most 80 columns, all but the first indented."""
    indent = " " * hanging
    return textwrap.fill(
        text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False, drop_whitespace=True
    )


def _table(nodes: Mapping[str, Command] | Mapping[str, Command | Group], width: int) -> str:
    return rows({name: node.summary for name, node in nodes.items()}, width)
