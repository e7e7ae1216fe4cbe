"""``sycoca finetune``: task defaults < config file < flags, then one call."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sycoca.cli.shared.usage import UsageError
from sycoca.cli.train.training_runs import config_file, run_to_its_end, with_flags
from sycoca.plain_data import overlay
from sycoca.presets.finetune import PRESETS, finetune_preset
from sycoca.weights.config import CONFIG_NAME, read_weights_config
from sycoca.weights.hub import is_at_hub, local_weights

if TYPE_CHECKING:
    from sycoca.training.recipes.finetune_config import FinetuneConfig

USAGE = "sycoca finetune TASK WEIGHTS --data.train SPEC [--config FILE] [--any.field VALUE ...]"

_NOT_GIVEN = "not given"
"""Stands for --data.train until flags or file name it."""


class _Request(NamedTuple):
    """What is asked for, and the flags of the config's own fields, not looked at yet."""

    words: list[str]
    config: Path | None
    resume: Path | None
    flags: list[str]


def run(arguments: list[str]) -> int:
    """Fine-tune or resume; the run folder goes to stdout, everything else to stderr."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(help_text())
        return 0
    request = _parse(arguments)
    config = _resumed_config(request) if request.resume is not None else _new_config(request)
    # Only now, since this imports torch: help and mistakes answer at once.
    from sycoca.training.finetune import finetune, resume_finetuning

    train = finetune if request.resume is None else resume_finetuning
    return run_to_its_end(lambda console: train(config, console=console))


def help_text() -> str:
    """Return what is shown without a task."""
    width = max(map(len, PRESETS))
    tasks = "\n".join(f"  {name:<{width}}  {(make.__doc__ or '').splitlines()[0]}" for name, make in PRESETS.items())
    return (
        f"usage: {USAGE}\n"
        "       sycoca finetune --resume RUN [--any.field VALUE ...]\n\n"
        "Fine-tune the model of a weights folder; a flag wins over the config file, and that over the task's"
        " defaults.\n\n"
        f"tasks:\n{tasks}\n\n"
        "options:\n"
        "  --config FILE     a config.yaml, whole or in part\n"
        "  --resume RUN      go on with a run folder from its newest checkpoint\n"
        "  --random-weights  the same training without pretraining, to see what it brings\n\n"
        "sycoca finetune TASK WEIGHTS --help shows every field with its value for that task.\n"
        "Several processes: torchrun --nproc-per-node 8 -m sycoca finetune TASK WEIGHTS ..."
    )


def _parse(arguments: list[str]) -> _Request:
    parser = argparse.ArgumentParser(prog="sycoca finetune", usage=USAGE, add_help=False, allow_abbrev=False)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--resume", type=Path)
    first_flag = next((place for place, word in enumerate(arguments) if word.startswith("-")), len(arguments))
    words = arguments[:first_flag]
    options, flags = parser.parse_known_args(arguments[first_flag:])
    if options.resume is not None and (words or options.config):
        raise UsageError("--resume takes the run's own config: no task, weights or --config beside it")
    if options.resume is None and len(words) != 2:
        raise UsageError(f"name a task ({', '.join(PRESETS)}) and a weights folder: {USAGE}")
    return _Request(words, options.config, options.resume, flags)


def _new_config(request: _Request) -> "FinetuneConfig":
    """Return task defaults, file and flags together; a name or key that does not exist is wrong usage."""
    task, weights = request.words
    try:
        config = finetune_preset(task, weights, _NOT_GIVEN)
        if not (is_at_hub(weights) and {"-h", "--help"} & set(request.flags)):
            config = _with_own_transforms(config)
        if request.config is not None:
            # A config of an earlier run names the weights of that run.
            config = replace(overlay(config, config_file(request.config)), weights=weights)
    except ValueError as error:
        raise UsageError(str(error)) from error
    config = with_flags(config, request.flags, f"sycoca finetune {task} WEIGHTS")
    if config.task != task:
        raise UsageError(f"the task is {task}, the config says {config.task}")
    if config.data.train == _NOT_GIVEN:
        raise UsageError(f"name the data to train on, as in --data.train captions.jsonl: {USAGE}")
    return config


def _with_own_transforms(config: "FinetuneConfig") -> "FinetuneConfig":
    """Name the transforms that the weights were trained with, so that a flag can change one of their fields."""
    weights = local_weights(config.weights)
    if not (weights / CONFIG_NAME).is_file():  # no such folder, as --help may name it; training says so
        return config
    return replace(config, transforms=read_weights_config(weights).transforms)


def _resumed_config(request: _Request) -> "FinetuneConfig":
    from sycoca.training.finetune import read_finetune_config
    from sycoca.training.run_folder import RunFolder

    assert request.resume is not None
    try:
        # A run folder may have been moved since it was begun.
        config = replace(read_finetune_config(RunFolder(request.resume)), out=str(request.resume))
    except ValueError as error:
        raise UsageError(str(error)) from error
    return with_flags(config, request.flags, "sycoca finetune --resume RUN")
