"""Crops of training images, computed by loader workers; unreadable images are replaced by others."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, final

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from sycoca.data.content_keys import image_key
from sycoca.data.loading.order import SamplePosition
from sycoca.data.loading.skipping import named
from sycoca.data.samples import ImageOpener, SampleSource
from sycoca.preprocess.config import ImageTransformConfig
from sycoca.preprocess.image_transforms import image_threads, smallest_training_side, training_image
from sycoca.randomness import derive_generator, derive_key
from sycoca.records import Images
from sycoca.unusable import SkippedSample, UnusableSampleError

MOST_ATTEMPTS = 100
"""Samples that are tried for one slot of a batch; more unreadable ones in a row are an error."""


class Mixed(NamedTuple):
    """The second image of a mixup."""

    partner: int
    """Its sample."""

    ratio: float
    """Its weight in the mixture, 0 to 1."""


class Opened(NamedTuple):
    """An opened image."""

    image: Image.Image
    """The image."""

    key: int | None
    """Its key, see `image_key`; None where keys are not computed."""


class Crop(NamedTuple):
    """The crop in one slot of a batch."""

    position: SamplePosition
    """The sample that was used."""

    image: Float[Tensor, "3 height width"] | None
    """None where no image could be read."""

    skipped: tuple[SkippedSample, ...]
    """Unreadable samples that were tried before it."""

    mixed: Mixed | None = None
    """The second image of a mixup, if any."""

    image_key: int | None = None
    """Equal for equal images, see `image_key`; None where keys are not computed."""


class CropBatch(NamedTuple):
    """The crops of a micro-batch."""

    positions: tuple[SamplePosition, ...]
    """The samples that were used."""

    images: Images | None
    """None where one is missing."""

    skipped: tuple[SkippedSample, ...]
    """Unreadable samples."""

    mixed: tuple[Mixed | None, ...] = ()
    """Second images of mixup; empty without mixup."""

    image_keys: tuple[int | None, ...] = ()
    """The keys of the images; None where keys are not computed."""


def replacement(seed: int, position: SamplePosition, attempt: int, num_samples: int) -> int:
    """Return the sample that is tried for a slot of a batch after ``attempt`` others that cannot be read."""
    return derive_key(seed, "replacement", *position, attempt) % num_samples


def stack_crops(crops: Sequence[Crop]) -> CropBatch:
    """Combine crops into one tensor, which is sent between processes faster than many."""
    images = [crop.image for crop in crops if crop.image is not None]
    return CropBatch(
        positions=tuple(crop.position for crop in crops),
        images=torch.stack(images) if len(images) == len(crops) else None,
        skipped=tuple(skipped for crop in crops for skipped in crop.skipped),
        mixed=tuple(crop.mixed for crop in crops),
        image_keys=tuple(crop.image_key for crop in crops),
    )


@final
class TrainingCrops(Dataset):
    """Training crops by epoch and sample, the data set of the loader workers.

    With ``mixup_alpha`` every crop is mixed with one of another sample of the source (mixup, arXiv 1710.09412): ratios
    are drawn from Beta(alpha, alpha), partners evenly. Both follow from seed, epoch and sample alone, so a mixture does
    not depend on what else is in its batch.
    """

    def __init__(
        self,
        source: SampleSource,
        config: ImageTransformConfig,
        image_size: int,
        seed: int,
        cache_images: bool,
        mixup_alpha: float | None = None,
        with_image_keys: bool = False,
        replaces_unreadable: bool = True,
    ) -> None:
        self._source = source
        self._config = config
        self.image_size = image_size
        self._smallest_side = smallest_training_side(image_size, config)
        self._seed = seed
        self._mixup_alpha = mixup_alpha
        self._with_image_keys = with_image_keys
        self._num_attempts = MOST_ATTEMPTS if replaces_unreadable else 1
        self._cache: dict[int, Opened] | None = {} if cache_images else None
        self._image_of: dict[ImageOpener, Opened] = {}

    def __getitem__(self, position: SamplePosition) -> Crop:
        epoch, first = position
        skipped: list[SkippedSample] = []
        candidates = (
            replacement(self._seed, position, attempt, len(self._source)) if attempt else first
            for attempt in range(self._num_attempts)
        )
        found = self._first_readable(candidates, lambda index: (epoch, index), "crop", skipped)
        if found is None:
            return Crop(position, None, tuple(skipped))
        index, image, key = found
        if self._mixup_alpha is None:
            return Crop((epoch, index), image, tuple(skipped), image_key=key)
        partners = (self._partner((epoch, index), attempt) for attempt in range(MOST_ATTEMPTS))
        other = self._first_readable(partners, lambda _: (epoch, index), "mixup crop", skipped)
        if other is None:
            return Crop((epoch, index), None, tuple(skipped))
        mixed = Mixed(other[0], self._mixing_ratio((epoch, index), self._mixup_alpha))
        return Crop((epoch, index), torch.lerp(image, other[1], mixed.ratio), tuple(skipped), mixed)

    def __getitems__(self, positions: list[SamplePosition]) -> list[Crop]:
        """Return the crops of a micro-batch, several in parallel unless there are worker processes."""
        if get_worker_info() is not None:
            return [self[position] for position in positions]
        with image_threads() as pool:
            return list(pool.map(self.__getitem__, positions))

    def _first_readable(
        self,
        candidates: Iterable[int],
        drawn_for: Callable[[int], SamplePosition],
        purpose: str,
        skipped: list[SkippedSample],
    ) -> tuple[int, Float[Tensor, "3 height width"], int | None] | None:
        """Return the first readable sample with its crop and key; unreadable ones are appended to ``skipped``."""
        for index in candidates:
            try:
                image, key = self._open(index)
            except UnusableSampleError as error:
                skipped.append(named(error, self._source[index]))
            else:
                generator = derive_generator(self._seed, purpose, *drawn_for(index))
                return index, training_image(image, self.image_size, self._config, generator), key
        return None

    def _partner(self, position: SamplePosition, attempt: int) -> int:
        num_others = max(len(self._source) - 1, 1)
        distance = 1 + derive_key(self._seed, "mixup partner", *position, attempt) % num_others
        return (position[1] + distance) % len(self._source)

    def _mixing_ratio(self, position: SamplePosition, alpha: float) -> float:
        # NumPy's, since PyTorch samples Beta with its global generator only.
        generator = np.random.Generator(np.random.PCG64(derive_key(self._seed, "mixup ratio", *position)))
        return float(generator.beta(alpha, alpha))

    def _open(self, index: int) -> Opened:
        if self._cache is None:
            return self._opened(self._source[index].open_image)
        if index not in self._cache:
            # Several samples may have one image, as questions do; their openers are equal.
            opener = self._source[index].open_image
            if opener not in self._image_of:
                self._image_of[opener] = self._opened(opener)
            self._cache[index] = self._image_of[opener]
        return self._cache[index]

    def _opened(self, opener: ImageOpener) -> Opened:
        image = opener(self._smallest_side)
        return Opened(image, image_key(opener, image) if self._with_image_keys else None)
