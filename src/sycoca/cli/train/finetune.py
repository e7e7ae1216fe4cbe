"""``sycoca finetune``: flags override the config file, which overrides the defaults of the task."""

import inspect
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sycoca.cli.help_text import folded, rows, usage_lines
from sycoca.cli.shared.usage import NOT_GIVEN, HelpRequested, UsageError
from sycoca.cli.train.training_runs import config_file, options_table, run_to_its_end, split_options, with_flags
from sycoca.plain_data import did_you_mean, overlay
from sycoca.preprocess.config import ImageTransformConfig
from sycoca.presets.finetune import PRESETS, finetune_preset
from sycoca.weights.config import CONFIG_NAME
from sycoca.weights.config_file import read_weights_config
from sycoca.weights.hub import is_at_hub, local_weights

if TYPE_CHECKING:
    from sycoca.cli.parsing.table import Argument
    from sycoca.training.recipes.finetune_config import FinetuneConfig

_OPTIONS = {
    "--config FILE.yaml": "configuration, complete or in part",
    "--resume RUN": "resume a run from its newest checkpoint",
    "--random-weights": "re-initialize all weights: the same training without pretraining, as a baseline",
}
"""The options that ``sycoca finetune --help`` explains."""


class Arguments(NamedTuple):
    """The parsed arguments: a complete config, and whether its run is resumed."""

    config: "FinetuneConfig"
    is_resuming: bool

    def run(self) -> int:
        """Fine-tune or resume; the run folder goes to stdout, everything else to stderr."""
        # Imported here, since it imports torch: help and usage errors appear fast.
        from sycoca.training.finetune import finetune, resume_finetuning

        train = resume_finetuning if self.is_resuming else finetune
        return run_to_its_end(lambda console: train(self.config, console=console), "sycoca finetune")


class _Request(NamedTuple):
    """The words, split: the config is not read and its flags are not parsed yet."""

    task: str
    weights: str
    config: Path | None
    resume: Path | None
    flags: list[str]

    @property
    def is_help(self) -> bool:
        """Return whether help is requested, which needs no weights."""
        return bool({"-h", "--help"} & set(self.flags))


def parse(words: list[str], prog: str) -> Arguments:
    """Return the arguments with their complete config: defaults of the task < config file < flags."""
    request = _request(words)
    if request.resume is not None:
        return Arguments(_resumed_config(request.resume, request.flags, prog), is_resuming=True)
    return Arguments(_new_config(request, prog), is_resuming=False)


def check(words: list[str], prog: str) -> None:
    """Parse without reading weights, config file or run folder: flags are those of the task."""
    request = _request(words)
    tasks = [request.task] if request.resume is None else list(PRESETS)
    refused = [error for task in tasks if (error := _refusal(task, request, prog)) is not None]
    if len(refused) == len(tasks):
        raise refused[0]


def table() -> "list[Argument]":
    """Return task, weights, options, and the fields of all tasks' configs."""
    from sycoca.cli.parsing.table import Argument, arguments_of

    words = [Argument("task", "TASK", choices=tuple(PRESETS)), Argument("weights", "WEIGHTS", (Path,))]
    configs = [_with_some_transforms(make("WEIGHTS", "SPEC")) for make in PRESETS.values()]
    fields = {field.name: field for config in configs for field in arguments_of(type(config), config, prefix="")}
    return [*words, *options_table(), *fields.values()]


def help_text() -> str:
    """Return the help text without a task."""
    tasks = rows({name: _first_sentence(name) for name in PRESETS})
    about = (
        "Fine-tune the model of a weights folder. Every field of the configuration is a flag, such as --training.steps;"
        " flags override the config file, which overrides the defaults of the task."
    )
    several = "  torchrun --nproc-per-node 8 -m sycoca finetune TASK WEIGHTS ..."
    return "\n\n".join(
        [
            usage_lines(_USAGE.removeprefix("usage: "), "sycoca finetune --resume RUN [--flag VALUE ...]"),
            folded(about),
            f"tasks:\n{tasks}",
            f"options:\n{rows(_OPTIONS)}",
            folded("sycoca finetune TASK --help shows every field with its value for that task."),
            f"Several processes:\n{folded(several, hanging=4)}",
        ]
    )


_USAGE = "usage: sycoca finetune TASK WEIGHTS --data.train SPEC [--flag VALUE ...]"


def _first_sentence(task: str) -> str:
    return (PRESETS[task].__doc__ or "").strip().splitlines()[0]


def _request(words: list[str]) -> _Request:
    if not words or words[0] in ("-h", "--help"):
        raise HelpRequested(help_text(), is_usage_error=not words)
    first_flag = next((index for index, word in enumerate(words) if word.startswith("-")), len(words))
    names, (options, flags) = words[:first_flag], split_options(words[first_flag:])
    if options.resume is not None:
        if names or options.config:
            raise UsageError("--resume takes the run's own config: no task, weights or --config beside it")
        return _Request("", "", None, options.resume, flags)
    task, weights, *others = [*names, *("" for _ in range(2 - len(names)))]
    if task not in PRESETS:
        raise UsageError(f"there is no task {task!r}{did_you_mean(task, list(PRESETS))}" if task else "TASK is missing")
    request = _Request(task, weights or "WEIGHTS", options.config, None, flags)
    if others:
        raise UsageError(f"unexpected argument {' '.join(others)!r}; {_USAGE}")
    if not weights and not request.is_help:
        raise UsageError(f"WEIGHTS is missing; {_USAGE}")
    return request


def _refusal(task: str, request: _Request, prog: str) -> UsageError | None:
    try:
        with_flags(_with_some_transforms(finetune_preset(task, request.weights, NOT_GIVEN)), request.flags, prog)
    except UsageError as error:
        return error
    return None


def _new_config(request: _Request, prog: str) -> "FinetuneConfig":
    """Return the config from defaults, file and flags; unknown names and keys are usage errors."""
    try:
        config = finetune_preset(request.task, request.weights, NOT_GIVEN)
        if not (is_at_hub(request.weights) and request.is_help):
            config = _with_own_transforms(config)
        if request.config is not None:
            # A config of an earlier run names the weights of that run.
            config = replace(overlay(config, config_file(request.config)), weights=request.weights)
    except ValueError as error:
        raise UsageError(str(error)) from error
    config = with_flags(config, request.flags, f"{prog} {request.task} WEIGHTS", _description(request.task))
    if config.task != request.task:
        raise UsageError(f"the task is {request.task}, the config says {config.task}")
    if config.data.train == NOT_GIVEN:
        raise UsageError(f"--data.train SPEC is missing; {_USAGE}")
    return config


def _description(task: str) -> str:
    text = f"Task {task}: {inspect.getdoc(PRESETS[task])}"
    return f"{text}\n\nOther options, such as --config and --resume: sycoca finetune --help."


def _with_some_transforms(config: "FinetuneConfig") -> "FinetuneConfig":
    """Name transforms where the weights cannot be asked for theirs, so that their fields are flags."""
    return replace(config, transforms=ImageTransformConfig())


def _with_own_transforms(config: "FinetuneConfig") -> "FinetuneConfig":
    """Name the transforms that the weights were trained with, so that a flag can change one of their fields."""
    weights = local_weights(config.weights)
    if not (weights / CONFIG_NAME).is_file():  # a missing folder, which --help allows; training reports it
        return _with_some_transforms(config)
    return replace(config, transforms=read_weights_config(weights).transforms)


def _resumed_config(run: Path, flags: list[str], prog: str) -> "FinetuneConfig":
    from sycoca.training.finetune import read_finetune_config
    from sycoca.training.run_folder import RunFolder

    try:
        # A run folder may have been moved since it was begun.
        config = replace(read_finetune_config(RunFolder(run)), out=str(run))
    except ValueError as error:
        raise UsageError(str(error)) from error
    return with_flags(config, flags, f"{prog} --resume RUN")
