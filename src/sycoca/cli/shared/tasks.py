"""Commands with tasks, such as ``sycoca evaluate retrieval``: only the named task's module is imported."""

import importlib
from collections.abc import Mapping
from typing import Any

from sycoca.cli.shared.usage import UsageError
from sycoca.plain_data import did_you_mean


def parse_task(command: str, tasks: Mapping[str, str], arguments: list[str]) -> Any:
    """Return the parsed arguments of the task that is named first; None where help was asked for and printed.

    ``tasks`` maps names to what they do. The module ``sycoca.cli.COMMAND.TASK`` has the dataclass ``Arguments``.
    """
    task = task_name(command, tasks, arguments)
    if task is None:
        return None
    import tyro

    module = importlib.import_module(f"sycoca.cli.{command}.{task.replace('-', '_')}")
    return tyro.cli(
        module.Arguments,
        prog=f"sycoca {command} {task}",
        args=arguments[1:],
        config=(tyro.conf.OmitArgPrefixes,),
    )


def task_name(command: str, tasks: Mapping[str, str], arguments: list[str]) -> str | None:
    """Return the task that is named first; None where help was asked for and printed. Raises UsageError."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_help_text(command, tasks))
        return None
    if arguments[0] not in tasks:
        raise UsageError(f"{command} does not know {arguments[0]!r}{did_you_mean(arguments[0], list(tasks))}")
    return arguments[0]


def _help_text(command: str, tasks: Mapping[str, str]) -> str:
    width = max(map(len, tasks))
    table = "\n".join(f"  {name:<{width}}  {what}" for name, what in tasks.items())
    return (
        f"usage: sycoca {command} TASK ...\n\ntasks:\n{table}\n\nsycoca {command} TASK --help shows a task's options."
    )
