"""``sycoca pretrain``: flags override the config file, which overrides the preset."""

import inspect
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sycoca.cli.help_text import folded, rows, usage_lines
from sycoca.cli.shared.usage import HelpRequested, UsageError
from sycoca.cli.train.training_runs import config_file, options_table, run_to_its_end, split_options, with_flags
from sycoca.plain_data import from_plain, overlay
from sycoca.presets.pretrain import PRESETS, pretrain_preset
from sycoca.training.recipes.pretraining.config import PretrainConfig
from sycoca.training.run_folder import RunFolder

if TYPE_CHECKING:
    from sycoca.cli.parsing.table import Argument


_OPTIONS = {
    "--config FILE.yaml": "configuration, complete or in part",
    "--start.weights WEIGHTS": "initialize from a weights folder, of a model or of an image encoder alone",
    "--resume RUN": "resume a run from its newest checkpoint",
    "--dry-run": "train nothing: report parameters, memory, time and how many captions are truncated",
}
"""The options that ``sycoca pretrain --help`` explains, apart from the fields of a config."""


class Arguments(NamedTuple):
    """The parsed arguments: a complete config, and whether to train, resume or estimate."""

    config: PretrainConfig
    is_resuming: bool
    is_dry_run: bool

    def run(self) -> int:
        """Pretrain, resume or estimate; the run folder goes to stdout, everything else to stderr."""
        # Imported here, since it imports torch: help and usage errors appear fast.
        from sycoca.training.pretrain import pretrain, resume_pretraining

        config = self.config
        if self.is_dry_run:
            from sycoca.terminal import line_width, wrapped
            from sycoca.training.run.dry_run import dry_run

            print(wrapped("\n".join(dry_run(config).lines()), line_width(sys.stdout)))
            return 0
        train = resume_pretraining if self.is_resuming else pretrain
        return run_to_its_end(lambda console: train(config, console=console), "sycoca pretrain")


class _Request(NamedTuple):
    """The words, split: the config is not read and its flags are not parsed yet."""

    preset: str | None
    config: Path | None
    resume: Path | None
    is_dry_run: bool
    flags: list[str]


def parse(words: list[str], prog: str) -> Arguments:
    """Return the arguments with their complete config: preset < config file < flags."""
    request = _request(words)
    config = with_flags(_base_config(request), request.flags, _prog(request, prog), _description(request.preset))
    return Arguments(config, request.resume is not None, request.is_dry_run)


def check(words: list[str], prog: str) -> None:
    """Parse without reading a config file or run folder: flags are those of the preset."""
    request = _request(words)
    try:
        base = pretrain_preset(request.preset or "tiny")
    except ValueError as error:
        raise UsageError(str(error)) from error
    with_flags(base, request.flags, prog)


def table() -> "list[Argument]":
    """Return preset, options, and the fields of a config."""
    from sycoca.cli.parsing.table import Argument, arguments_of

    preset = Argument("preset", "PRESET", choices=tuple(PRESETS))
    tiny = pretrain_preset("tiny")
    return [preset, *options_table(with_dry_run=True), *arguments_of(PretrainConfig, tiny, prefix="")]


def help_text() -> str:
    """Return the help text without a preset."""
    presets = rows({name: _first_sentence(name) for name in PRESETS})
    about = (
        "Pretrain a model. Every field of the configuration is a flag, such as --training.steps; flags override the"
        " config file, which overrides the preset."
    )
    return "\n\n".join(
        [
            usage_lines(
                "sycoca pretrain PRESET --data.train SPEC [--flag VALUE ...]",
                "sycoca pretrain --config FILE.yaml [--flag VALUE ...]",
                "sycoca pretrain --resume RUN [--flag VALUE ...]",
            ),
            folded(about),
            f"presets:\n{presets}",
            f"options:\n{rows(_OPTIONS)}",
            folded("sycoca pretrain PRESET --help shows every field with its value in that preset."),
            f"Several processes:\n{folded('  torchrun --nproc-per-node 8 -m sycoca pretrain PRESET ...', hanging=4)}",
        ]
    )


def _prog(request: _Request, prog: str) -> str:
    """Return the program with the words that select the config, for the usage line."""
    return f"{prog} {request.preset or ('--resume RUN' if request.resume else '--config FILE.yaml')}"


def _description(preset: str | None) -> str:
    text = "" if preset not in PRESETS else f"Preset {preset}: {inspect.getdoc(PRESETS[preset])}\n\n"
    return f"{text}Other options, such as --config, --resume and --dry-run: sycoca pretrain --help."


def _first_sentence(preset: str) -> str:
    return (PRESETS[preset].__doc__ or "").strip().splitlines()[0]


def _request(words: list[str]) -> _Request:
    if not words or words[0] in ("-h", "--help"):
        raise HelpRequested(help_text(), is_usage_error=not words)
    preset = None if words[0].startswith("-") else words[0]
    options, flags = split_options(words[0 if preset is None else 1 :], with_dry_run=True)
    if options.resume is not None and (preset or options.config or options.dry_run):
        raise UsageError("--resume takes the run's own config: no preset, --config or --dry-run beside it")
    if preset is None and options.config is None and options.resume is None:
        raise UsageError(f"name a preset first ({', '.join(PRESETS)}), or give --config or --resume")
    return _Request(preset, options.config, options.resume, options.dry_run, flags)


def _base_config(request: _Request) -> PretrainConfig:
    """Return the config from preset and file; unknown names and keys are usage errors."""
    try:
        if request.resume is not None:
            folder = RunFolder(request.resume)
            if folder.holds_finetuning():
                raise ValueError(f"{folder.path} holds a fine-tuning; resume it with sycoca finetune --resume")
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
    """Return the preset without its validation data where only the training data is replaced: they belong together."""
    section = plain.get("data") if isinstance(plain, dict) else None
    given = {f"--data.{name}" for name in section} if isinstance(section, dict) else set()
    given |= {flag.partition("=")[0] for flag in flags}
    if "--data.train" not in given or "--data.validation" in given or preset.data.validation is None:
        return preset
    return replace(preset, data=replace(preset.data, validation=None))
