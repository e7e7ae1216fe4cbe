"""What a weights folder says about its model. Imports no torch."""

from dataclasses import dataclass

from sycoca.model.config import MaskingConfig, SyCoCaConfig
from sycoca.preprocess.config import ImageTransformConfig

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
