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
