"""What an ablation is asked for: its rows, where they are trained and tested, and how often. Imports no torch."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal, TypeVar, assert_never

from tyro.conf import Positional, arg

from sycoca.facts.ablation_facts import PAPER_RATIO
from sycoca.model.config import ImageEncoderConfig, SyCoCaConfig, TextEncoderConfig
from sycoca.model.decoder_configs import ImageDecoderConfig, TextDecoderConfig
from sycoca.presets.pretrain import flickr8k, tiny
from sycoca.training.config import DataConfig, RunConfig
from sycoca.training.recipes.pretraining.config import PretrainConfig

SettingName = Literal["scenes", "flickr8k"]
"""scenes: the built-in ones, minutes a run, where the truth is known. flickr8k: photos of your own copy."""

TestSplit = Literal["test", "validation"]
"""What the results are measured on. validation: for screening, so that the test data is used once."""

EqualBy = Literal["steps", "processor-time"]
"""What the rows have in common. processor-time: a row trains as many steps as the baseline's time allows."""

AnyRunConfig = TypeVar("AnyRunConfig", bound=RunConfig)

MOST_SEEDS = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class AblationData:
    """Data in place of the setting's own."""

    train: Annotated[str | None, arg(metavar="SPEC")] = None
    """Training data."""

    validation: Annotated[str | None, arg(metavar="SPEC")] = None
    """Data to measure on with --split validation."""

    test: Annotated[str | None, arg(metavar="SPEC")] = None
    """Data to measure on with --split test."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AblationSettings:
    """Rows, data, seeds and processes of an ablation."""

    recipe: Annotated[Positional[str], arg(metavar="TABLE")]
    """A table of the paper (objectives, mask-ratios, mim-weight), or RECIPE.yaml with rows of your own."""

    out: Annotated[Path, arg(metavar="DIR")]
    """The folder of results, which several machines may share: start the same command on each. The same command
    also resumes what was stopped."""

    setting: SettingName = "scenes"
    """Model and data. scenes: built in, 32 pixels, minutes a run. flickr8k: the preset, with photos of yours."""

    seeds: Annotated[str, arg(metavar="N|SEED,SEED")] = "10"
    """Number of seeds from 0 on, or a list such as 100,101,102. Runs of one seed are paired over the rows: equal
    initial weights and order of the data."""

    split: TestSplit = "test"
    """Measure on test data, or on validation data, for screening."""

    equal: EqualBy = "steps"
    """Give all rows as many steps as the baseline, or as much processor time; steps then differ."""

    steps: int | None = None
    """Training steps of the baseline, in place of the configuration's."""

    data: AblationData = field(default_factory=AblationData)
    """Data in place of the setting's own."""

    processes: int | None = None
    """Runs at once, one thread each. None: one per core."""

    keep_weights: bool = False
    """Keep the trained weights of every run; by default they are deleted once they are measured."""

    def __post_init__(self) -> None:
        parsed_seeds(self.seeds)
        for name in ("steps", "processes"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")

    @property
    def seed_list(self) -> tuple[int, ...]:
        """The seeds, in order."""
        return parsed_seeds(self.seeds)

    @property
    def measured_on(self) -> str:
        """The SPEC of the data that results are measured on."""
        facts = SETTINGS[self.setting]
        match self.split:
            case "test":
                return self.data.test or facts.test
            case "validation":
                return self.data.validation or facts.validation
            case unknown:
                assert_never(unknown)

    def base(self) -> PretrainConfig:
        """Return the configuration that rows change: SyCoCa with the paper's objectives and ratios."""
        config = SETTINGS[self.setting].base()
        data = replace(config.data, train=self.data.train or config.data.train, validation=None)
        return comparable(replace(config, data=data))


@dataclass(frozen=True, kw_only=True, slots=True)
class SettingFacts:
    """A setting."""

    base: Callable[[], PretrainConfig]
    """Returns its configuration."""

    validation: str
    """SPEC of the data for screening."""

    test: str
    """SPEC of the data of the final results."""


def comparable(config: AnyRunConfig) -> AnyRunConfig:
    """Switch off what makes runs differ between machines, and what writes files that nobody reads."""
    return replace(
        config,
        runtime=replace(config.runtime, device="cpu", precision="fp32", compile=False),
        training=replace(config.training, tensorboard=False, report=False, evaluate_every=None, keep_best=None),
    )


def _scenes() -> PretrainConfig:
    """Return the model and training of scenes: the smallest that tells rows apart, in minutes on one core."""
    config = tiny()
    return replace(
        config,
        model=SyCoCaConfig(
            image_encoder=ImageEncoderConfig(
                image_size=32, patch_size=8, width=64, depth=4, num_heads=2, pooling="max"
            ),
            text_encoder=TextEncoderConfig(
                vocab_size=512, context_length=32, width=64, depth=2, num_heads=2, pooling="mean"
            ),
            text_decoder=TextDecoderConfig(depth=2, num_heads=2),
            image_decoder=ImageDecoderConfig(width=64, depth=1, num_heads=2),
            embed_dim=64,
        ),
        masking=replace(config.masking, captioning_hidden_ratio=PAPER_RATIO, reconstruction_masked_ratio=PAPER_RATIO),
        data=DataConfig(train="scenes:?level=medium&count=24000&seed=0&size=32", cache_images=True),
        # The best for CoCa of seven rates and regularizations (ablations/scenes_tuning), given to all rows.
        optimizer=replace(config.optimizer, peak_lr=2e-3),
        schedule=replace(config.schedule, warmup_steps=100),
        training=replace(config.training, steps=400, save_every=100),
    )


def _flickr8k() -> PretrainConfig:
    """Return the preset with the paper's ratios."""
    config = flickr8k()
    masking = replace(config.masking, captioning_hidden_ratio=PAPER_RATIO, reconstruction_masked_ratio=PAPER_RATIO)
    return replace(config, masking=masking)


SETTINGS: Mapping[SettingName, SettingFacts] = {
    "scenes": SettingFacts(
        base=_scenes,
        validation="scenes:?level=medium&count=4000&split=validation&size=32",
        test="scenes:?level=medium&count=4000&split=test&size=32",
    ),
    "flickr8k": SettingFacts(
        base=_flickr8k,
        validation="data/flickr8k/captions.jsonl?split=val&images=data/flickr8k/images",
        test="data/flickr8k/captions.jsonl?split=test&images=data/flickr8k/images",
    ),
}
"""All settings by name."""


def parsed_seeds(text: str) -> tuple[int, ...]:
    """Return the seeds that "10" (0 to 9) or "100,101,102" names; ValueError for what is neither."""
    if not re.fullmatch(r"\d{1,9}(,\d{1,9})*,?", text):
        raise ValueError(f"seeds {text!r} is neither a number of seeds nor a list such as 100,101,102")
    numbers = tuple(int(word) for word in text.split(",") if word)
    if "," not in text:
        numbers = tuple(range(min(numbers[0], MOST_SEEDS + 1)))
    if not 1 <= len(numbers) <= MOST_SEEDS:
        raise ValueError(f"seeds {text!r}: from 1 to {MOST_SEEDS:,} runs a row are possible")
    if len(set(numbers)) < len(numbers):
        raise ValueError(f"seeds {text!r} names a seed twice")
    return numbers
