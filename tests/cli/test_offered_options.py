"""What the help of training offers is accepted: every option and every choice, alone or with what its text names."""

import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from sycoca.cli.command_line import parse
from sycoca.cli.main import main
from sycoca.cli.parsing.table import Argument, arguments_of
from sycoca.cli.shared.usage import HelpRequested, UsageError
from sycoca.cli.train.pretrain import Arguments
from sycoca.plain_data import overlay
from sycoca.presets.pretrain import PRESETS, pretrain_preset
from sycoca.training.recipes.pretraining.config import PretrainConfig, resolved_model_config
from sycoca.weights.config import WeightsConfig

POOLER = "--model.image-encoder.pooler"

COMPANIONS = {
    "--data.cached-views": [
        *("--start.weights", "folder", "--start.frozen", "image_encoder", "--objectives.masked-image-weight", "0"),
    ],
    "--start.image-size": ["--start.weights", "folder"],
    "--start.frozen": ["--start.weights", "folder"],
    "--start.lr-ratio": ["--start.weights", "folder"],
    "--model.text-encoder.cls-mask": ["--model.text-encoder.pooling", "cls"],
    "--model.text-encoder.cls-position": ["--model.text-encoder.pooling", "cls"],
    "--model.text-encoder.pooling": ["--objectives.captioning-weight", "0"],
    "--tokenizer.vocab-size": ["--model.text-encoder.vocab-size", "200000"],
    "--model.text-encoder.vocab-size": ["--tokenizer.vocab-size", "300"],
    "--model.image-encoder.patch-size": ["--model.image-encoder.image-size", "576"],
    "--runtime.shard-size": ["--runtime.sharding", "hybrid"],
    "--training.keep-every": ["--training.save-every", "1"],
    "--training.keep-best": ["--training.save-every", "1", "--training.log-every", "1"],
    "--transforms.crop-max-aspect": ["--transforms.crop-max-aspect", "1"],  # half of the default is less than 1
}
"""Options that their texts or errors tie to another one."""

WORDS = {"device": "cpu", "keep-best": "captioning"}
"""Words for options that do not take any text."""


def values_of(argument: Argument, default: Any) -> Iterator[list[str]]:
    """Yield words for the option: every choice, and a number near the default."""
    if argument.num_values == 0:
        yield []
        return
    yield from ([choice] for choice in argument.choices)
    if {int, float} & set(argument.kinds):
        is_float = float in argument.kinds
        near = [item / 2 if is_float else 2 * item for item in _as_list(default)] or [0.5 if is_float else 1]
        yield [str(number) for number in near]
    elif set(argument.kinds) & {str, Path}:
        yield [WORDS.get(argument.name.rpartition(".")[2], "text")]


def _as_list(default: Any) -> list[Any]:
    return [] if default is None else list(default) if isinstance(default, tuple) else [default]


def default_of(config: Any, flag: str) -> Any:
    *sections, name = flag.removeprefix("--").split(".")
    for section in sections:
        config = getattr(config, section.replace("-", "_"))
    negated = name.removeprefix("no-").replace("-", "_")
    plain = name.replace("-", "_")
    return getattr(config, plain if plain in {field.name for field in fields(config)} else negated)


def refusal(words: list[str]) -> str | None:
    """Parse, and build what pretraining builds of the config before its model; return why it is refused."""
    try:
        arguments = parse(words)
        assert isinstance(arguments, Arguments)
        return refusal_of(arguments.config)
    except UsageError as error:
        return str(error)


def refusal_of_flags(preset: str, flags: list[str]) -> str | None:
    """Return the same for flags, without parsing: that takes long for some hundred lines of every preset."""
    config = pretrain_preset(preset)
    starts = [index for index, word in enumerate(flags) if word.startswith("--")]
    try:
        for start, stop in zip(starts, [*starts[1:], len(flags)], strict=True):
            config = overlay(config, _as_plain(config, flags[start], flags[start + 1 : stop]))
    except ValueError as error:
        return str(error)
    return refusal_of(config)


def refusal_of(config: PretrainConfig) -> str | None:
    try:
        model = resolved_model_config(config, config.model.text_encoder.vocab_size)
        config.training.micro_batch_on(1)
        WeightsConfig(model=model, masking=config.masking, transforms=config.transforms)
    except ValueError as error:
        return str(error)
    return None


def _as_plain(config: PretrainConfig, flag: str, words: list[str]) -> Any:
    """Return the change that a flag with its words means, as a config file writes it."""
    *sections, last = flag.removeprefix("--").replace("-", "_").split(".")
    default = default_of(config, flag)
    values = [_value(word) for word in words]
    value: Any = values if isinstance(default, tuple) else values[0] if values else not default
    if not words:
        last = last.removeprefix("no_")
    for name in reversed([*sections, last]):
        value = {name: value}
    return value


def _value(word: str) -> Any:
    try:
        return json.loads(word)
    except json.JSONDecodeError:
        return None if word == "None" else word


@pytest.mark.parametrize(
    "preset", [pytest.param(one, marks=[] if one == "tiny" else [pytest.mark.slow]) for one in PRESETS]
)
def test_pretraining_accepts_every_option_that_it_offers(preset: str):
    config = pretrain_preset(preset)
    pooler_width = ["--model.image-encoder.pooler.width", str(2 * config.model.embed_dim)]
    embed_dim = ["--model.embed-dim", str(2 * config.model.image_encoder.pooler.width)]
    companions = {**COMPANIONS, "--model.embed-dim": pooler_width, f"{POOLER}.width": embed_dim}
    companions["--model.image-encoder.pooling"] = [f"{POOLER}.width", str(config.model.embed_dim)]
    options = arguments_of(PretrainConfig, config, prefix="")
    assert len(options) > 80
    refused = {}
    for option in options:
        for words in values_of(option, default_of(config, option.name)):
            flags = [option.name, *words]
            reason = refusal_of_flags(preset, flags)
            if reason is not None:
                assert refusal(["pretrain", preset, *flags]) is not None
                reason = refusal(["pretrain", preset, *flags, *companions.get(option.name, [])])
            if reason is not None:
                refused[" ".join(flags)] = reason
    assert refused == {}


@pytest.mark.slow
def test_the_short_way_to_a_config_is_that_of_the_command_line():
    config = pretrain_preset("tiny")
    for option in arguments_of(PretrainConfig, config, prefix=""):
        for words in values_of(option, default_of(config, option.name)):
            flags = [option.name, *words]
            assert (refusal(["pretrain", "tiny", *flags]) is None) == (refusal_of_flags("tiny", flags) is None), flags


def test_the_walk_sees_a_refusal():
    assert "must lie between 0 and 1" in str(refusal(["pretrain", "tiny", "--drop-path", "2"]))


@pytest.mark.parametrize("preset", PRESETS)
def test_help_shows_exactly_the_walked_options(preset: str):
    shown = _flags_of_help(["pretrain", preset, "--help"])
    walked = {option.name for option in arguments_of(PretrainConfig, pretrain_preset(preset), prefix="")}
    assert shown - {"--help"} == walked
    assert "--preset" not in shown


def _flags_of_help(words: list[str]) -> set[str]:
    with pytest.raises(HelpRequested) as help_requested:
        parse(words)
    first_words = {line.split()[0] for line in help_requested.value.text.splitlines() if line.startswith("  --")}
    return {word for word in first_words if set(word) != {"-"}}


@pytest.mark.parametrize("task", ["retrieval", "captioning", "vqa", "classification"])
def test_finetuning_offers_no_option_that_its_words_decide(task: str):
    shown = _flags_of_help(["finetune", task, "WEIGHTS", "--help"])
    assert "--data.train" in shown
    assert not {"--task", "--weights"} & shown


def test_what_only_fine_tuning_sets_is_refused_in_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "config.yaml").write_text("model:\n  num_answers: 5\n")
    assert main(["pretrain", "tiny", "--config", str(tmp_path / "config.yaml")]) == 2
    assert "model.num_answers is set by sycoca finetune vqa, not in pretraining" in capsys.readouterr().err
