"""``sycoca pretrain``: preset < config file < flags, then one call."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from sycoca.cli.shared.usage import UsageError
from sycoca.cli.train.training_runs import config_file, run_to_its_end, with_flags
from sycoca.plain_data import from_plain, overlay
from sycoca.presets.pretrain import PRESETS, pretrain_preset
from sycoca.training.recipes.pretraining.config import PretrainConfig
from sycoca.training.run_folder import RunFolder

USAGE = "sycoca pretrain PRESET [--config FILE] [--dry-run] [--any.field VALUE ...]"


class _Request(NamedTuple):
    """What is asked for, and the flags of the config's own fields, not looked at yet."""

    preset: str | None
    config: Path | None
    resume: Path | None
    is_dry_run: bool
    flags: list[str]


def run(arguments: list[str]) -> int:
    """Pretrain, resume or try out; the run folder goes to stdout, everything else to stderr."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(help_text())
        return 0
    request = _parse(arguments)
    config = with_flags(_base_config(request), request.flags, "sycoca pretrain PRESET")
    # Only now, since this imports torch: help and mistakes answer at once.
    from sycoca.training.pretrain import pretrain, resume_pretraining

    if request.is_dry_run:
        from sycoca.training.run.dry_run import dry_run

        print("\n".join(dry_run(config).lines()))
        return 0
    train = pretrain if request.resume is None else resume_pretraining
    return run_to_its_end(lambda console: train(config, console=console))


def help_text() -> str:
    """Return what is shown without a preset."""
    width = max(map(len, PRESETS))
    presets = "\n".join(f"  {name:<{width}}  {_first_sentence(name)}" for name in PRESETS)
    return (
        f"usage: {USAGE}\n"
        "       sycoca pretrain --config FILE [--any.field VALUE ...]\n"
        "       sycoca pretrain --resume RUN [--any.field VALUE ...]\n\n"
        "Pretrain a model; a flag wins over the config file, and that over the preset.\n\n"
        f"presets:\n{presets}\n\n"
        "options:\n"
        "  --config FILE      a config.yaml, whole or in part\n"
        "  --start.weights W  start from a weights folder, of a whole model or of an image encoder alone\n"
        "  --resume RUN       go on with a run folder from its newest checkpoint\n"
        "  --dry-run          only say what the run would take: parameters, memory, hours, truncated captions\n\n"
        "sycoca pretrain PRESET --help shows every field with its value in that preset.\n"
        "Several processes: torchrun --nproc-per-node 8 -m sycoca pretrain PRESET ..."
    )


def _first_sentence(preset: str) -> str:
    return (PRESETS[preset].__doc__ or "").strip().splitlines()[0]


def _parse(arguments: list[str]) -> _Request:
    parser = argparse.ArgumentParser(prog="sycoca pretrain", usage=USAGE, add_help=False, allow_abbrev=False)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--resume", type=Path)
    parser.add_argument("--dry-run", action="store_true")
    preset = None if arguments[0].startswith("-") else arguments[0]
    options, flags = parser.parse_known_args(arguments[0 if preset is None else 1 :])
    if options.resume is not None and (preset or options.config or options.dry_run):
        raise UsageError("--resume takes the run's own config: no preset, --config or --dry-run beside it")
    if preset is None and options.config is None and options.resume is None:
        raise UsageError(f"name a preset first ({', '.join(PRESETS)}), or give --config or --resume")
    return _Request(preset, options.config, options.resume, options.dry_run, flags)


def _base_config(request: _Request) -> PretrainConfig:
    """Return preset and file together; a name or key that does not exist is wrong usage."""
    try:
        if request.resume is not None:
            folder = RunFolder(request.resume)
            if folder.holds_finetuning():
                raise ValueError(f"{folder.path} holds a fine-tuning; go on with it by sycoca finetune --resume")
            # A run folder may have been moved since it was begun.
            return replace(folder.read_config(PretrainConfig), out=str(request.resume))
        plain = None if request.config is None else config_file(request.config)
        if request.preset is None:
            return from_plain(PretrainConfig, plain)
        config = _without_foreign_validation(pretrain_preset(request.preset), plain, request.flags)
        return config if plain is None else overlay(config, plain)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _without_foreign_validation(preset: PretrainConfig, plain: Any, flags: list[str]) -> PretrainConfig:
    """Return the preset without its validation data where other training data is named alone: they belong together."""
    section = plain.get("data") if isinstance(plain, dict) else None
    given = {f"--data.{name}" for name in section} if isinstance(section, dict) else set()
    given |= {flag.partition("=")[0] for flag in flags}
    if "--data.train" not in given or "--data.validation" in given or preset.data.validation is None:
        return preset
    return replace(preset, data=replace(preset.data, validation=None))
