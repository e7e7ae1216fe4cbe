"""The record that every source yields, and the interface of a source."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool
from PIL import Image

from sycoca.texts import refuse_text
from sycoca.unusable import SkippedSample


@runtime_checkable
class ImageOpener(Protocol):
    """Opens an image."""

    def __call__(self, smallest_side: int | None = None, /) -> Image.Image:
        """Return the upright image in RGB. Raises UnusableSampleError where it cannot be read.

        With ``smallest_side`` a large JPEG may be decoded at a reduced size with both sides at least that long, which
        is several times as fast and suffices where the image is resized to less.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A question about an image with its answers."""

    question: str
    """The text of the question."""

    answers: tuple[str, ...]
    """Answers of several annotators, or members of a set; empty where they are not published (test sets)."""

    key: str | None = None
    """The question's id in its file, by which predictions are matched."""

    question_type: str | None = None
    """Type of the question, where the file has it ("what color")."""

    answer_type: str | None = None
    """Type of the answer, where the file has it ("yes/no")."""

    image: str | None = None
    """Name or id of its image, for a question without its sample."""

    def __post_init__(self) -> None:
        refuse_text(self.answers, "answers")


@dataclass(frozen=True, kw_only=True, slots=True)
class NamedPixels:
    """An object that a caption names, and where it is in the image."""

    name: str
    """What the caption calls it, without article ("red circle")."""

    pixels: Bool[np.ndarray, "height width"]
    """True for its pixels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageTextSample:
    """An image with captions, label and questions."""

    key: str
    """Name of the sample, unique in its source."""

    captions: tuple[str, ...]
    """Captions of the image; empty in a source of questions or labels only."""

    open_image: ImageOpener
    """Reads or renders the image when it is called."""

    generated_captions: tuple[str, ...] = ()
    """Captions that a model has written, which training draws with ``data.generated_caption_ratio``."""

    label: str | None = None
    """Name of the class, where there is one."""

    split: str | None = None
    """Split of the data set ("train"), where the file has it."""

    questions: tuple[Question, ...] = ()
    """Questions about the image."""

    described_pixels: Callable[[int], Bool[np.ndarray, "height width"]] | None = None
    """Returns the pixels of the objects that caption number i names; None where they are unknown."""

    named_objects: Callable[[int], Sequence[NamedPixels]] | None = None
    """Returns the objects that caption number i names, each by itself, in order; None where they are unknown."""

    object_pixels: Callable[[], Bool[np.ndarray, "height width"]] | None = None
    """Returns the pixels of all objects, described or not; None where they are unknown."""

    def __post_init__(self) -> None:
        refuse_text(self.captions, "captions")
        refuse_text(self.generated_captions, "generated_captions")


@runtime_checkable
class SampleSource(Protocol):
    """A list of samples with a name."""

    @property
    def name(self) -> str:
        """Name of the source in reports."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> ImageTextSample: ...


@runtime_checkable
class IncompleteSource(Protocol):
    """A source that may have left samples out."""

    @property
    def skipped(self) -> Sequence[SkippedSample]:
        """Samples that were left out."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """Consecutive samples of a source that lie in one file."""

    name: str
    """Name of the file ("00017.tar")."""

    first: int
    """Index of its first sample."""

    stop: int
    """Index behind its last sample."""


@runtime_checkable
class ShardedSource(Protocol):
    """A source whose neighboring samples are cheap to read together.

    Its shards follow each other without gaps, from sample 0 to the last one.
    """

    @property
    def shards(self) -> Sequence[Shard]:
        """The files of the source in order; those without a usable sample are left out."""
        ...


@runtime_checkable
class RemarkedSource(Protocol):
    """A source about which there is more to say."""

    @property
    def remarks(self) -> Sequence[str]:
        """Lines about what is no error and yet worth a look."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class MixturePart:
    """A source of a mixture."""

    source: SampleSource
    """The source."""

    num_per_cycle: int
    """How many samples of each cycle of the mixture it gives."""

    generated_caption_ratio: float | None = None
    """Its own ``data.generated_caption_ratio``; None leaves it to the training's."""


@runtime_checkable
class MixedSource(Protocol):
    """A source that consists of others, from which samples are drawn by weight."""

    @property
    def parts(self) -> Sequence[MixturePart]:
        """The sources, in the order of the samples."""
        ...


def source_repr(source: SampleSource) -> str:
    """Return a line about a source for interactive sessions: its name, and how many samples it has and lacks."""
    skipped = len(skipped_samples(source))
    left_out = f", {skipped:,} left out" if skipped else ""
    return f"<{type(source).__name__} {source.name!r}: {len(source):,} samples{left_out}>"


def skipped_samples(source: SampleSource) -> Sequence[SkippedSample]:
    """Return the samples, and single captions, that a source has left out."""
    return source.skipped if isinstance(source, IncompleteSource) else ()


def num_lost_samples(source: SampleSource) -> int:
    """Return how many samples a source has left out as a whole."""
    return sum(not skipped.image_stays for skipped in skipped_samples(source))


def num_lost_captions(source: SampleSource) -> int:
    """Return how many captions a source has left out of images that stay."""
    return sum(skipped.image_stays for skipped in skipped_samples(source))


def remarks_on(source: SampleSource) -> Sequence[str]:
    """Return what a source says about itself beside what it has left out."""
    return source.remarks if isinstance(source, RemarkedSource) else ()


def with_remarks(fault: str, source: SampleSource) -> str:
    """Return what is wrong with a source, with its remarks, which may be the reason."""
    return "; ".join([fault, *remarks_on(source)])
