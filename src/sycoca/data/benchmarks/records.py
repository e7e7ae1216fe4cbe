"""What benchmarks of hard negatives ask about images."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from sycoca.data.samples import ImageOpener
from sycoca.unusable import unusable


@dataclass(frozen=True, kw_only=True, slots=True)
class NamedImage:
    """An image of a benchmark; equal names are one image."""

    name: str
    """Name of the file, and of the part of it where only a part is shown."""

    open_image: ImageOpener
    """Reads the image when it is called."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptionChoice:
    """An image with a true caption and a false one that is made of nearly the same words."""

    key: str
    """Unique in its benchmark."""

    image: NamedImage
    caption: str
    """The true caption."""

    negative: str
    """The false caption."""

    kind: str
    """How the negative was made, or what it is about."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PairOfPairs:
    """Two images and two captions, each caption true of one image."""

    key: str
    """Unique in its benchmark."""

    images: tuple[NamedImage, NamedImage]
    captions: tuple[str, str]
    """In the order of their images."""

    kind: str | None
    """What the captions differ in, where the file has it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class YesNoQuestion:
    """A question about an image, answered by yes or no."""

    key: str
    """Unique in its benchmark."""

    image: NamedImage
    question: str
    """The question as in the file."""

    statements: tuple[str, str]
    """What yes and no say: two captions of which one is true."""

    is_yes: bool
    """Whether the right answer is yes."""

    kind: str
    """The list that the question is from."""


Benchmark = Sequence[CaptionChoice] | Sequence[PairOfPairs] | Sequence[YesNoQuestion]
"""The entries of a benchmark, all of one kind and at least one."""


@dataclass(frozen=True, slots=True)
class CroppedImage:
    """A rectangle of an image, as an `ImageOpener`."""

    whole: ImageOpener
    """The image."""

    name: str
    """Name of the image, for errors."""

    box: tuple[int, int, int, int]
    """Left, top, right and bottom end in pixels of the upright image; what lies outside of it is black."""

    def __call__(self, smallest_side: int | None = None, /) -> Image.Image:  # noqa: ARG002 (boxes are in full pixels)
        """Read the whole image and cut the rectangle out of it. Raises UnusableSampleError where it is outside."""
        image = self.whole()
        left, top, right, bottom = self.box
        if left >= image.width or top >= image.height or right <= 0 or bottom <= 0:
            detail = f"{self.name} has {image.width} x {image.height} pixels, its box {self.box} lies outside"
            raise unusable(self.name, "image too small", detail)
        return image.crop(self.box)
