"""The one record that every source yields, and what a source has to offer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool
from PIL import Image

from sycoca.unusable import SkippedSample


@runtime_checkable
class ImageOpener(Protocol):
    """Opens an image."""

    def __call__(self, smallest_side: int | None = None, /) -> Image.Image:
        """Return the upright image in RGB; UnusableSampleError where it cannot be read.

        With ``smallest_side`` a large JPEG may be decoded at a reduced size, of which neither side is smaller than
        that: many times as fast, and enough for who resizes it to less.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A question about an image with its answers."""

    question: str
    """What is asked."""

    answers: tuple[str, ...]
    """Those of several annotators, or the members of a set; none where they are kept secret (test sets)."""

    key: str | None = None
    """The question's id in its file, by which predictions are matched."""

    question_type: str | None = None
    """What kind of question it is, where the file says so ("what color")."""

    answer_type: str | None = None
    """What kind of answer it wants, where the file says so ("yes/no")."""

    image: str | None = None
    """Name or id of the image it is about, where it stands without its sample."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageTextSample:
    """An image and what is known about it."""

    key: str
    """Name of the sample, unique in its source."""

    captions: tuple[str, ...]
    """Descriptions of the image; none where a source holds only questions or labels."""

    open_image: ImageOpener
    """Reads or renders the image; costs nothing before it is called."""

    label: str | None = None
    """Name of the class, where there is one."""

    split: str | None = None
    """Part of the data set that its file puts the sample into ("train"), where it says so."""

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


@runtime_checkable
class IncompleteSource(Protocol):
    """A source that may have had to leave samples out."""

    @property
    def skipped(self) -> Sequence[SkippedSample]:
        """What it names but cannot offer."""
        ...


def skipped_samples(source: SampleSource) -> Sequence[SkippedSample]:
    """Return what a source has left out."""
    return source.skipped if isinstance(source, IncompleteSource) else ()
