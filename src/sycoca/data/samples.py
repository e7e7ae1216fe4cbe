"""The one record that every source yields, and what a source has to offer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool
from PIL import Image


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A question about an image with its answer."""

    question: str
    """What is asked."""

    answer: str
    """The right answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageTextSample:
    """An image and what is known about it."""

    key: str
    """Name of the sample, unique in its source."""

    captions: tuple[str, ...]
    """One or more descriptions of the image."""

    open_image: Callable[[], Image.Image]
    """Reads or renders the image, in RGB; costs nothing before it is called."""

    label: str | None = None
    """Name of the class, where there is one."""

    questions: tuple[Question, ...] = ()
    """Questions about the image."""

    described_pixels: Callable[[int], Bool[np.ndarray, "height width"]] | None = None
    """Returns the pixels of the objects that caption number i names; None where the truth is unknown."""


@runtime_checkable
class SampleSource(Protocol):
    """A list of samples with a name."""

    @property
    def name(self) -> str:
        """What reports call the source."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> ImageTextSample: ...
