"""The program ``sycoca``: errors become one line and an exit code. Imports nothing slow, so that help appears fast."""

import logging
import os
import shlex
import sys
from typing import NamedTuple

from sycoca.cli.command_line import find, parse
from sycoca.cli.help_text import COMMON_OPTIONS
from sycoca.cli.shared.logs import log_to_stderr
from sycoca.cli.shared.usage import HelpRequested, UsageError, print_error
from sycoca.outputs.disk_full import disk_full_reason
from sycoca.outputs.errors import DiskFullError, OutputError, OutputInterrupted, Remains
from sycoca.outputs.manifest import verification
from sycoca.stop_signals import STOP_SIGNALS, handled, number_of, raise_stopped
from sycoca.terminal import escape_what_cannot_be_encoded, one_line

SPIN_COUNT = "10000"
"""For GOMP_SPINCOUNT: how many turns OpenMP's threads spin before they sleep while they wait for each other. By default
they spin for long, which slows training on CPUs tenfold beside another busy process; so few turns help against that,
and cost nothing where no other process runs (docs/benchmarks.md)."""

_LONGEST_LINE = 600


class _Line(NamedTuple):
    """The words of a command, and the options that go with every command."""

    words: list[str]
    is_debugging: bool
    is_verbose: bool
    is_quiet: bool
    is_verifying: bool


def main(arguments: list[str] | None = None) -> int:
    """Run a command; return 0, 1 after an error (one line; with --debug its traceback), 2 after wrong usage.

    An output that is refused before the work begins is wrong usage too. After a signal to stop the code is
    that of `STOP_SIGNALS`: 130 after Ctrl-C.
    """
    escape_what_cannot_be_encoded(sys.stdout)
    line = _split(sys.argv[1:] if arguments is None else arguments)
    prog = find(line.words).prog
    try:
        with handled(raise_stopped):
            return _run(line)
    except (UsageError, OutputError) as error:
        print_error(f"{prog}: {_one_line(error)}")
        return 2
    except BrokenPipeError:
        # The reader of stdout (head, a pager) has closed it; flushing the rest must not fail at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OutputInterrupted as interrupted:
        print_error(f"{prog}: {interrupted}{_way_on(interrupted.remains, line.words)}")
        return STOP_SIGNALS[interrupted.number].exit_code
    except DiskFullError as full:
        print_error(f"{prog}: {full}{_way_on(full.remains, line.words, 'free some space and ')}")
        return 1
    except KeyboardInterrupt as interrupt:
        print_error(f"{prog}: interrupted; no file was written")
        return STOP_SIGNALS[number_of(interrupt)].exit_code
    except Exception as error:
        # Last resort for all errors: one line, with the traceback under --debug.
        if line.is_debugging:
            raise
        print_error(f"{prog}: {_one_line(error)}")
        return 1


def _way_on(remains: Remains, words: list[str], first: str = "") -> str:
    """Return the end of a message: the command that resumes what was cut short, where there is one."""
    again = [word for word in words if word not in ("--resume", "--overwrite")]
    command = shlex.join(["sycoca", *again, "--resume"]) if remains.can_resume else remains.command
    # On a line of its own a narrow terminal does not break it.
    return "" if command is None else f"; {first}resume with:\n  {command}"


def _split(arguments: list[str]) -> _Line:
    """Take the options of every command off the line; what follows ``--`` is left alone."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    found = {word for word in arguments[:end] if word in COMMON_OPTIONS}
    words = [word for word in arguments[:end] if word not in COMMON_OPTIONS] + list(arguments[end:])
    return _Line(
        words,
        is_debugging="--debug" in found,
        is_verbose="--verbose" in found,
        is_quiet="--quiet" in found,
        is_verifying="--no-verify" not in found,
    )


def _run(line: _Line) -> int:
    try:
        return _run_command(line)
    except HelpRequested as help_requested:
        print(help_requested.text, file=sys.stderr if help_requested.is_usage_error else sys.stdout, flush=True)
        return 2 if help_requested.is_usage_error else 0


def _run_command(line: _Line) -> int:
    if line.is_verbose and line.is_quiet:
        raise UsageError("give --verbose or --quiet, not both")
    spin_count = _limit_spinning()
    level = logging.DEBUG if line.is_verbose else logging.WARNING if line.is_quiet else logging.INFO
    with log_to_stderr(level), verification(line.is_verifying):
        arguments = parse(line.words)
        logging.getLogger(__name__).debug(spin_count)
        return arguments.run()


def _limit_spinning() -> str:
    """Let OpenMP threads sleep sooner unless the user has set it, and return a message about it."""
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        if name in os.environ:
            return f"{name}={os.environ[name]} is set: OpenMP threads wait as it says"
    if "torch" in sys.modules:  # OpenMP has read its environment already
        return "PyTorch is imported already: OpenMP threads wait as they do by default"
    os.environ["GOMP_SPINCOUNT"] = SPIN_COUNT
    return f"GOMP_SPINCOUNT={SPIN_COUNT} set: OpenMP threads that wait sleep sooner, which helps beside busy processes"


def _one_line(error: Exception) -> str:
    reason = disk_full_reason(error)
    if reason is not None:
        return f"{getattr(error, 'filename', None) or 'stdout'} cannot be written: {reason}"
    text = one_line(" ".join(str(error).split()))
    # Our own errors have clear messages; for others the name of the class is added.
    ours = isinstance(error, UsageError | ValueError | OSError | FloatingPointError | MemoryError)
    line = text if text and ours else f"{type(error).__name__}: {text}"
    # Some messages, such as a compiler's output, have megabytes.
    return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]} ... (all of it with --debug)"
