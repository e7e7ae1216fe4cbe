"""Images of changed samples: their files' content and thumbnails, and their pixels as the model takes them."""

import io
from collections import deque
from collections.abc import Container, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import NamedTuple, final

from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from sycoca.data.content_keys import HasContent, content_key, image_key
from sycoca.data.loading.skipping import named
from sycoca.data.samples import ImageTextSample, SampleSource
from sycoca.preprocess.config import ImageTransformConfig
from sycoca.preprocess.decoding import FORMATS
from sycoca.preprocess.image_transforms import image_threads, inference_picture, smallest_inference_side
from sycoca.preprocess.rgb import orientation
from sycoca.search.changes import Change, content_state
from sycoca.unusable import SkippedSample, UnusableSampleError

THUMBNAIL_PIXELS = 256
"""Most pixels of a thumbnail's side."""

_THUMBNAIL_QUALITY = 80

_TURNED = frozenset({5, 6, 7, 8})
"""Orientations of EXIF that exchange width and height."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pixels:
    """What is made from the pixels of an image."""

    picture: Image.Image
    """The image as small as the model takes it."""

    thumbnail: bytes
    """A JPEG of at most `THUMBNAIL_PIXELS` a side."""

    width: int
    """Pixels of the upright image."""

    height: int
    """Pixels of the upright image."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadSample:
    """A sample whose row is to be written."""

    sample: ImageTextSample
    image_state: str
    details: str
    content: int
    """Key of the image's content."""

    pixels: Pixels | None
    """None where the index knows the content."""


@final
@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the images of samples."""

    source: SampleSource
    known: Container[int]
    """Contents whose embedding and thumbnail the index has."""

    image_size: int
    transforms: ImageTransformConfig

    def batches(
        self, changes: Sequence[Change], batch_size: int, *, reads_ahead: bool
    ) -> Iterator[list[ReadSample | SkippedSample]]:
        """Yield samples in batches. ``reads_ahead``: the next one is read while the caller works on one."""
        with image_threads() as pool:
            waiting: deque[list[Future[ReadSample | SkippedSample]]] = deque()
            try:
                for first in range(0, len(changes), batch_size):
                    waiting.append([pool.submit(self.read, one) for one in changes[first : first + batch_size]])
                    if len(waiting) > reads_ahead:
                        yield [future.result() for future in waiting.popleft()]
                for batch in waiting:
                    yield [future.result() for future in batch]
            finally:
                pool.shutdown(cancel_futures=True)

    def read(self, change: Change) -> ReadSample | SkippedSample:
        """Return a sample with what its row needs, or why it cannot be used."""
        sample = self.source[change.index]
        try:
            return self._read(change, sample)
        except UnusableSampleError as error:
            return named(error, sample)

    def _read(self, change: Change, sample: ImageTextSample) -> ReadSample:
        content, pixels = change.content, None
        if content is None or content not in self.known:
            content, pixels = self._fresh(sample)
        return ReadSample(
            sample=sample,
            image_state=content_state(content) if change.image_state is None else change.image_state,
            details=change.details,
            content=content,
            pixels=pixels,
        )

    def _fresh(self, sample: ImageTextSample) -> tuple[int, Pixels | None]:
        """Return the content of an image, and what is made from its pixels where the index has none such."""
        smallest_side, opener = smallest_inference_side(self.image_size), sample.open_image
        if isinstance(opener, HasContent):
            file = opener.content()
            content = content_key(file)
            return content, None if content in self.known else self._pixels(opener(smallest_side), _stored(file))
        image = opener(smallest_side)
        content = image_key(opener, image)
        stored = _Stored(*image.size, thumbnail=None)
        return content, None if content in self.known else self._pixels(image, stored)

    def _pixels(self, image: Image.Image, stored: "_Stored") -> Pixels:
        return Pixels(
            picture=inference_picture(image, self.image_size, self.transforms),
            thumbnail=thumbnail_of(image) if stored.thumbnail is None else stored.thumbnail,
            width=stored.width,
            height=stored.height,
        )


def thumbnail_of(image: Image.Image) -> bytes:
    """Return an image as a JPEG of at most `THUMBNAIL_PIXELS` a side."""
    small = image.copy()
    small.info = {}  # a comment would be written again
    small.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=_THUMBNAIL_QUALITY)
    return buffer.getvalue()


class _Stored(NamedTuple):
    width: int
    height: int
    thumbnail: bytes | None


def _stored(file: bytes) -> _Stored:
    """Return what the file of an image tells: its upright size, since it may be decoded at a reduced one, and the file
    itself where it is a thumbnail already."""
    with Image.open(io.BytesIO(file), formats=FORMATS) as header:
        width, height = header.size
        is_turned = orientation(header) in _TURNED
        thumbnail = file if _is_thumbnail(header) else None
    return _Stored(*((height, width) if is_turned else (width, height)), thumbnail=thumbnail)


def _is_thumbnail(header: Image.Image) -> bool:
    """Return whether a file is a small JPEG that holds pixels and nothing else, such as where a photo was taken."""
    return (
        isinstance(header, JpegImageFile)
        and max(header.size) <= THUMBNAIL_PIXELS
        and header.mode == "RGB"
        and {name for name, _ in header.applist} <= {"APP0"}
    )
