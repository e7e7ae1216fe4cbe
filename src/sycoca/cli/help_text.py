"""Help texts of ``sycoca`` and of its groups, without importing any command, and their layout."""

import shutil
import textwrap
from collections.abc import Mapping

from sycoca.cli.tree import TREE, Command, Group

_WIDTH = 80
"""Width of help texts in columns, on terminals that are as wide."""

COMMON_OPTIONS = {
    "--verbose": "show messages meant for debugging, too",
    "--quiet": "show warnings and errors only, and no progress bars",
    "--no-verify": "use weights and checkpoints without comparing them with their manifests",
    "--debug": "show the traceback of an error",
}
"""Options of every command, anywhere on its line."""


def help_text() -> str:
    """Return the help of ``sycoca``."""
    width = max(len(name) for names in (*TREE.values(), COMMON_OPTIONS) for name in names)
    sections = [f"{heading}:\n{_table(nodes, width)}" for heading, nodes in TREE.items()]
    return "\n\n".join(
        [
            "usage: sycoca COMMAND ...",
            folded("Contrastive captioners made symmetric, with attentive masking (SyCoCa, arXiv 2401.02137)."),
            *sections,
            f"options of every command:\n{rows(COMMON_OPTIONS, width)}",
            folded("sycoca COMMAND --help shows a command's arguments; sycoca --version the version."),
        ]
    )


def group_help_text(name: str, group: Group) -> str:
    """Return the help of a group."""
    width = max(map(len, group.commands))
    return (
        f"usage: sycoca {name} COMMAND ...\n\n{folded(f'{group.summary[0].upper()}{group.summary[1:]}.')}\n\n"
        f"commands:\n{_table(group.commands, width)}\n\n"
        + folded(f"sycoca {name} COMMAND --help shows a command's arguments.")
    )


def rows(texts: Mapping[str, str], width: int | None = None) -> str:
    """Return names with their texts beside them; long texts are wrapped."""
    width = max(map(len, texts)) if width is None else width
    return "\n".join(folded(f"  {name:<{width}}  {text}", hanging=width + 4) for name, text in texts.items())


def usage_lines(*forms: str) -> str:
    """Return the forms of a command below each other."""
    first, *others = forms
    return "\n".join([folded(f"usage: {first}", hanging=7), *(folded(f"       {form}", hanging=7) for form in others)])


def folded(text: str, *, hanging: int = 0) -> str:
    """Return one paragraph as lines of at most 80 columns, or a narrower terminal's, all but the first indented."""
    width = min(_WIDTH, shutil.get_terminal_size((_WIDTH, 24)).columns)
    # A narrow terminal has room for some words beside the indent.
    indent = " " * min(hanging, width // 2)
    return textwrap.fill(
        text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False, drop_whitespace=True
    )


def _table(nodes: Mapping[str, Command] | Mapping[str, Command | Group], width: int) -> str:
    return rows({name: node.summary for name, node in nodes.items()}, width)
