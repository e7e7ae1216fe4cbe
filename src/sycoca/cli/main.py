"""The command line: a table of commands. Imports nothing slow, so that help is there at once."""

import importlib
import os
import sys

from sycoca._version import __version__
from sycoca.cli.shared.logs import log_to_stderr
from sycoca.cli.shared.usage import UsageError
from sycoca.plain_data import did_you_mean

COMMANDS = {
    "quickstart": "built-in scenes -> pretrain a tiny model -> five tasks -> one HTML report; no download, minutes",
    "pretrain": "pretrain a model on images with captions",
    "finetune": "fine-tune a model for a task",
    "average": "weights between those before and after a fine-tuning (WiSE-FT)",
    "caption": "describe images",
    "classify": "say which class images belong to, of any that are named",
    "ask": "answer questions about images",
    "evaluate": "measure a model by an official protocol",
    "score": "the same metrics for anybody's predictions, no model needed",
    "compare": "reports beside each other, with confidence intervals and paired differences",
    "embed": "write images and captions as vectors",
    "export": "a model as ONNX, with a script that captions and embeds without PyTorch",
    "explain": "see which patches match which word, and what is imagined behind a mask",
    "convert": "weights of open_clip and Hugging Face in, of open_clip out",
    "push": "publish a weights folder at the Hugging Face Hub",
    "data": "check data, look at it, write the built-in scenes",
    "benchmark": "how fast this machine is, and training, captioning, embedding and scoring on it",
}
"""Every command and what it does; ``sycoca.cli.NAME`` has a function ``run(arguments) -> exit code``."""

_HOMES = {
    "quickstart": "sycoca.cli.train.quickstart",
    "pretrain": "sycoca.cli.train.pretrain",
    "finetune": "sycoca.cli.train.finetune",
    "average": "sycoca.cli.weights.average",
    "caption": "sycoca.cli.use.caption",
    "classify": "sycoca.cli.use.classify",
    "ask": "sycoca.cli.use.ask",
    "evaluate": "sycoca.cli.evaluate.command",
    "score": "sycoca.cli.score.command",
    "compare": "sycoca.cli.measure.compare",
    "embed": "sycoca.cli.use.embed",
    "export": "sycoca.cli.weights.export",
    "explain": "sycoca.cli.use.explain",
    "convert": "sycoca.cli.convert.command",
    "push": "sycoca.cli.weights.push",
    "data": "sycoca.cli.data.command",
    "benchmark": "sycoca.cli.measure.benchmark",
}
"""Where each command lives."""

_LONGEST_LINE = 600


def main(arguments: list[str] | None = None) -> int:
    """Run a command. Returns 0, 1 after an error (one line; with --debug its traceback), 2 after wrong usage."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    is_debugging = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(help_text())
        return 0
    if arguments[0] == "--version":
        print(f"sycoca {__version__}")
        return 0
    try:
        with log_to_stderr():
            return _run(arguments[0], arguments[1:])
    except UsageError as error:
        print(f"sycoca: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # Whoever read our output (head, a pager) has seen enough; what is left must not fail at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("sycoca: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        # The outermost place: one line for people, all of it with --debug.
        if is_debugging:
            raise
        print(f"sycoca: {_one_line(error)}", file=sys.stderr)
        return 1


def help_text() -> str:
    """Return the table of commands."""
    width = max(map(len, COMMANDS))
    table = "\n".join(f"  {name:<{width}}  {what}" for name, what in COMMANDS.items())
    return (
        "usage: sycoca COMMAND ... [--debug]\n\n"
        "Contrastive captioners made symmetric, with attentive masking (SyCoCa, arXiv 2401.02137).\n\n"
        f"commands:\n{table}\n\n"
        "sycoca COMMAND --help shows a command's options; --debug shows where an error comes from."
    )


def _run(command: str, arguments: list[str]) -> int:
    if command not in COMMANDS:
        raise UsageError(f"there is no command {command!r}{did_you_mean(command, list(COMMANDS))}")
    return importlib.import_module(_HOMES[command]).run(arguments)


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    # Errors that we raise speak for themselves; of any other kind the name is part of the message.
    ours = isinstance(error, ValueError | OSError | FloatingPointError | MemoryError)
    line = text if text and ours else f"{type(error).__name__}: {text}"
    # A compiler's output, say, has megabytes.
    return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]} ... (all of it with --debug)"
