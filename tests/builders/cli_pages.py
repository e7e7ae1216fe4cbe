"""All help pages of the command line."""

import pytest

from sycoca.cli.command_line import parse
from sycoca.cli.shared.usage import HelpRequested
from sycoca.cli.tree import NAMES, Group
from sycoca.presets.finetune import PRESETS as TASKS
from sycoca.presets.pretrain import PRESETS

_COMMANDS = [
    [name, *command]
    for name, node in NAMES.items()
    for command in ([[], *([inner] for inner in node.commands)] if isinstance(node, Group) else [[]])
]

PAGES: list[list[str]] = [
    [],
    *_COMMANDS,
    *(["pretrain", name] for name in PRESETS),
    *(["finetune", task, "W"] for task in TASKS),
]
"""The words before --help."""


def help_of(words: list[str]) -> str:
    """Return a help page."""
    with pytest.raises(HelpRequested) as requested:
        parse([*words, "--help"])
    return requested.value.text
