"""Shared by ``sycoca pretrain`` and ``sycoca finetune``: options, config file, flags of the config, end of a run."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

from sycoca.cli.shared.results import print_path
from sycoca.cli.shared.usage import UsageError, print_error
from sycoca.plain_data import read_yaml

if TYPE_CHECKING:
    from rich.console import Console

    from sycoca.cli.parsing.table import Argument

C = TypeVar("C")
"""The kind of config."""


def run_to_its_end(train: "Callable[[Console], Path]", prog: str) -> int:
    """Train; the run folder goes to stdout, everything else to stderr. Return the exit code, see `STOP_SIGNALS`."""
    from sycoca.cli.shared.logs import stderr_console
    from sycoca.stop_signals import STOP_SIGNALS, number_of
    from sycoca.training.engine.distributed.errors import LostProcessError
    from sycoca.training.engine.distributed.launch import is_main_process
    from sycoca.training.engine.interruption import LoaderWorkersDiedError, TrainingInterrupted

    is_main = is_main_process()
    try:
        run_dir = train(stderr_console())
    except LostProcessError as lost:
        if lost.is_reporter:
            raise
        return 1
    except (TrainingInterrupted, LoaderWorkersDiedError) as stopped:
        if is_main:
            print_error(f"{prog}: {stopped.reason}\n  {stopped.resume_command}")
        return stopped.exit_code
    except KeyboardInterrupt as interrupt:
        if is_main:
            raise
        return STOP_SIGNALS[number_of(interrupt)].exit_code
    if is_main:
        print_path("run", run_dir)
    return 0


def config_file(path: Path) -> object:
    """Return the contents of the file of --config."""
    if not path.is_file():
        raise UsageError(f"--config {path} is not a file")
    return read_yaml(path)


def with_flags(config: C, flags: list[str], prog: str, description: str | None = None) -> C:
    """Return the config with the flags' fields replaced; UsageError for a flag or value that it does not have."""
    from sycoca.cli.parsing.parse import parse_arguments

    return parse_arguments(type(config), flags, prog, default=config, description=description)


def split_options(words: list[str], *, with_dry_run: bool = False) -> tuple[argparse.Namespace, list[str]]:
    """Parse the options beside a config's fields; return them and the remaining words."""
    parser = _OneLineParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--resume", type=Path)
    if with_dry_run:
        parser.add_argument("--dry-run", action="store_true")
    return parser.parse_known_args(words)


class _OneLineParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Raise UsageError instead of printing a page of usage."""
        raise UsageError(message.removeprefix("argument ").replace(": expected one argument", " needs a value"))


def options_table(*, with_dry_run: bool = False) -> "list[Argument]":
    """Return the options beside a config's own fields, for completion."""
    from sycoca.cli.parsing.table import Argument, switch

    files = [Argument("--config", "FILE.yaml", (Path,)), Argument("--resume", "RUN", (Path,))]
    return [*files, switch("--dry-run")] if with_dry_run else files
