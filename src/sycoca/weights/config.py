"""What a weights folder says about its model. Imports no torch."""

import json
from dataclasses import dataclass
from pathlib import Path

from sycoca.model.config import MaskingConfig, SyCoCaConfig
from sycoca.plain_data import from_plain
from sycoca.preprocess.config import ImageTransformConfig

CONFIG_NAME = "config.json"
"""The file's name in a weights folder."""

FORMAT_VERSION = 1
"""Counts up when folders change in a way that older versions cannot read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightsConfig:
    """All that is needed, beside tensors and tokenizer, to use a model as it was trained."""

    model: SyCoCaConfig
    """Sizes of what is really built."""

    masking: MaskingConfig
    """How patches were chosen in training."""

    transforms: ImageTransformConfig
    """From pictures to pixels."""

    normalizes_patches: bool = True
    """Whether the image decoder predicts patches normalized by their own mean and deviation, or plain pixels."""

    answers: tuple[str, ...] | None = None
    """The answers that the answer head chooses from, in its order."""

    answers_exclude_each_other: bool = False
    """Whether the answers' probabilities add up to 1 (a head trained by softmax), or each stands by itself."""

    class_names: tuple[str, ...] | None = None
    """The classes that the class head chooses from, in its order."""

    def __post_init__(self) -> None:
        for name, names, number in (
            ("answers", self.answers, self.model.num_answers),
            ("class_names", self.class_names, self.model.num_classes),
        ):
            if (None if names is None else len(names)) != number:
                counted = "none" if names is None else len(names)
                raise ValueError(f"{name}: the model has a head for {number or 'none'}, the config names {counted}")


def read_weights_config(folder: Path) -> WeightsConfig:
    """Read the config of a weights folder; ValueError where it is damaged or written by a newer version."""
    path = folder / CONFIG_NAME
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    version = plain.pop("format_version", None) if isinstance(plain, dict) else None
    if not isinstance(version, int):
        raise ValueError(f"{path} is not the config of a weights folder: it has no format_version")
    if version > FORMAT_VERSION:
        raise ValueError(
            f"{path} has format_version {version}, this version of sycoca reads up to {FORMAT_VERSION}; update sycoca"
        )
    return from_plain(WeightsConfig, plain, where=str(path))
