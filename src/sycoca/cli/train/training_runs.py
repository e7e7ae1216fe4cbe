"""What ``sycoca pretrain`` and ``sycoca finetune`` have in common: config file, flags, and how a run ends."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sycoca.cli.shared.logs import stderr_console
from sycoca.cli.shared.usage import UsageError
from sycoca.plain_data import read_yaml

if TYPE_CHECKING:
    from rich.console import Console

C = TypeVar("C")
"""The kind of config."""


def run_to_its_end(train: "Callable[[Console], Path]") -> int:
    """Train; the run folder goes to stdout, everything else to stderr. Return the exit code, 130 after Ctrl-C."""
    from sycoca.training.engine.interruption import TrainingInterrupted
    from sycoca.training.engine.runtime import is_main_process

    try:
        run_dir = train(stderr_console())
    except TrainingInterrupted as interrupted:
        if is_main_process():
            print(f"sycoca: {interrupted}", file=sys.stderr)
        return 130
    if is_main_process():
        print(run_dir)
    return 0


def config_file(path: Path) -> object:
    """Return what a file holds that --config names."""
    if not path.is_file():
        raise UsageError(f"--config {path} is not a file")
    return read_yaml(path)


def with_flags(config: C, flags: list[str], prog: str) -> C:
    """Return the config with the flags' fields replaced; tyro ends with exit code 2 and a suggestion otherwise."""
    import tyro

    kind: Any = tyro.conf.AvoidSubcommands[type(config)]
    return tyro.cli(kind, prog=prog, args=flags, default=config)
