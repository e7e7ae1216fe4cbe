"""Batches of a block whose images can be read: the next batch is decoded while the model works on one."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from PIL import Image

from sycoca.data.loading.skipping import named
from sycoca.data.samples import ImageTextSample, SampleSource
from sycoca.inference.predictor import Predictor
from sycoca.mapping.blocks import Block
from sycoca.mapping.work import Batch
from sycoca.preprocess.config import ImageTransformConfig
from sycoca.preprocess.image_transforms import image_threads, inference_picture, smallest_inference_side
from sycoca.unusable import SkippedSample, UnusableSampleError


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadBatch:
    """A batch as it was read."""

    batch: Batch
    """What can be used."""

    num_read: int
    """Samples that were read, the skipped ones included."""

    skipped: Sequence[SkippedSample]
    """What cannot be used."""


def read_batches(
    source: SampleSource, block: Block, predictor: Predictor, batch_size: int, *, needs_images: bool
) -> Iterator[ReadBatch]:
    """Yield the samples of a block in batches, which are cut by index: what is skipped moves nothing to another one."""
    reader = _Reader(source, predictor.image_size, predictor.config.transforms, needs_images)
    starts = range(block.first, block.stop, batch_size)
    with image_threads() as pool:
        waiting: list[tuple[int, Future[_Read]]] = []
        try:
            for start in starts:
                indices = range(start, min(start + batch_size, block.stop))
                following = [(index, pool.submit(reader.read, index)) for index in indices]
                if waiting:
                    yield _collected(waiting)
                waiting = following
            yield _collected(waiting)
        finally:
            pool.shutdown(cancel_futures=True)


_Read = tuple[ImageTextSample, Image.Image | None] | SkippedSample


@dataclass(frozen=True, slots=True)
class _Reader:
    source: SampleSource
    image_size: int
    transforms: ImageTransformConfig
    needs_images: bool

    def read(self, index: int) -> _Read:
        """Return a sample with its image as small as the model takes it, or why it cannot be used."""
        try:
            sample = self.source[index]
        except UnusableSampleError as error:
            return error.skipped
        if not self.needs_images:
            return sample, None
        try:
            image = sample.open_image(smallest_inference_side(self.image_size))
        except UnusableSampleError as error:
            return named(error, sample)
        return sample, inference_picture(image, self.image_size, self.transforms)


def _collected(waiting: Sequence[tuple[int, "Future[_Read]"]]) -> ReadBatch:
    found = [(index, future.result()) for index, future in waiting]
    usable = [(index, *read) for index, read in found if isinstance(read, tuple)]
    return ReadBatch(
        batch=Batch(
            indices=[index for index, _, _ in usable],
            samples=[sample for _, sample, _ in usable],
            images=[image for _, _, image in usable if image is not None],
        ),
        num_read=len(found),
        skipped=[read for _, read in found if isinstance(read, SkippedSample)],
    )
