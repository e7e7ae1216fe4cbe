"""What a loader worker does: open a sample's image, or another one's in its place, and cut a crop."""

from collections.abc import Sequence
from typing import NamedTuple, final

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from sycoca.data.samples import SampleSource
from sycoca.data.skipping import named
from sycoca.preprocess.config import ImageTransformConfig
from sycoca.preprocess.image_transforms import smallest_training_side, training_image
from sycoca.randomness import derive_generator, derive_key
from sycoca.unusable import SkippedSample, UnusableSampleError

Place = tuple[int, int]
"""Epoch and index of a sample."""

_MOST_ATTEMPTS = 100
"""Samples that are tried for one place; so many unreadable ones in a row are no accident."""


class Crop(NamedTuple):
    """The crop for one place of a batch."""

    place: Place
    """The sample that was taken in the end."""

    image: Float[Tensor, "3 height width"] | None
    """None where no image was found."""

    skipped: tuple[SkippedSample, ...]
    """Samples that could not be read before it."""


class CropBatch(NamedTuple):
    """The crops of a micro-batch, as a worker hands them over."""

    places: tuple[Place, ...]
    """The samples that were taken."""

    images: Float[Tensor, "batch 3 height width"] | None
    """None where one is missing."""

    skipped: tuple[SkippedSample, ...]
    """Samples that could not be read."""


def stack_crops(crops: Sequence[Crop]) -> CropBatch:
    """Put crops together: one tensor travels faster between processes than many."""
    images = [crop.image for crop in crops if crop.image is not None]
    return CropBatch(
        places=tuple(crop.place for crop in crops),
        images=torch.stack(images) if len(images) == len(crops) else None,
        skipped=tuple(skipped for crop in crops for skipped in crop.skipped),
    )


@final
class TrainingCrops(Dataset):
    """Training crops by epoch and sample: what loader workers do."""

    def __init__(
        self,
        source: SampleSource,
        config: ImageTransformConfig,
        image_size: int,
        seed: int,
        cache_images: bool,
    ) -> None:
        self._source = source
        self._config = config
        self._image_size = image_size
        self._smallest_side = smallest_training_side(image_size, config)
        self._seed = seed
        self._cache: dict[int, Image.Image] | None = {} if cache_images else None

    def __getitem__(self, place: Place) -> Crop:
        skipped: list[SkippedSample] = []
        epoch, first = place
        for attempt in range(_MOST_ATTEMPTS):
            index = first if attempt == 0 else self._replacement(place, attempt)
            try:
                image = self._open(index)
            except UnusableSampleError as error:
                skipped.append(named(error, self._source[index]))
            else:
                return Crop((epoch, index), self._cut(image, (epoch, index)), tuple(skipped))
        return Crop(place, None, tuple(skipped))

    def _cut(self, image: Image.Image, place: Place) -> Float[Tensor, "3 height width"]:
        return training_image(image, self._image_size, self._config, derive_generator(self._seed, "crop", *place))

    def _replacement(self, place: Place, attempt: int) -> int:
        return derive_key(self._seed, "replacement", *place, attempt) % len(self._source)

    def _open(self, index: int) -> Image.Image:
        if self._cache is None:
            return self._source[index].open_image(self._smallest_side)
        if index not in self._cache:
            self._cache[index] = self._source[index].open_image(self._smallest_side)
        return self._cache[index]
