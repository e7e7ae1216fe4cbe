"""From samples to batches: an infinite stream of samples, of which every rank takes its slice of every batch."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import KW_ONLY, dataclass, field
from itertools import count, islice
from typing import final

import torch
from jaxtyping import Int
from torch import Tensor

from sycoca.data.loading.batch_maker import BatchMaker
from sycoca.data.loading.crops import CropBatch, TrainingCrops
from sycoca.data.loading.features.cached_crops import CachedCrops
from sycoca.data.loading.order import SampleOrder, SamplePosition, keyed_order
from sycoca.data.loading.reading_ahead import reading_ahead
from sycoca.data.loading.skipping import SkipLog
from sycoca.data.loading.workers import CropReader, WorkerDeaths
from sycoca.data.samples import SampleSource
from sycoca.preprocess.config import ImageTransformConfig
from sycoca.preprocess.image_transforms import inference_batch
from sycoca.randomness import derive_key
from sycoca.records import BatchTotals, TrainingBatch

_ReadCrops = Callable[[int, Sequence[list[SamplePosition]]], Iterator[CropBatch]]
"""Takes the position of a step and its micro-batches."""


@final
@dataclass(eq=False)
class TrainingBatches:
    """Infinite batches of a source; the batch at a position always has the same pairs, crops and captions.

    The epochs form one stream, and a position is the number of samples before it. Each batch takes the next
    ``global_batch_size`` samples: nothing is dropped, and a batch may reach into the next epoch. Batch size, ranks and
    workers may change at any position.

    A sample whose image cannot be read is named in ``skip_log``, and another takes its position, drawn from seed, epoch
    and index alone, so that every rank and a resumed run draw the same. The batch's total of labels stays that of the
    samples first drawn.
    """

    source: SampleSource
    batch_maker: BatchMaker
    transform_config: ImageTransformConfig
    image_size: int
    _: KW_ONLY
    seed: int
    global_batch_size: int
    """Pairs per step over all ranks."""

    order: SampleOrder | None = None
    """The order of the samples; None for that of `keyed_order`."""

    micro_batch_size: int | None = None
    """Pairs per forward pass on one rank; None for all of the rank's pairs."""

    num_workers: int = 0
    """Worker processes that read images; 0 reads them in threads of this process. Those that die are replaced."""

    pin_memory: bool = False
    """Whether images are in pinned memory, from which a GPU copies while it computes."""

    rank: int = 0
    world_size: int = 1
    sum_over_ranks: Callable[[int], int | Int[Tensor, ""]] | None = None
    """Returns the sum of a number over all ranks, all of which call it for each batch. One rank needs none."""

    cache_images: bool = False
    """Whether images stay in memory after their first use; each worker has its own cache."""

    skip_log: SkipLog | None = None
    """Records the samples that this process leaves out; without one, the first of them is an error."""

    mixup_alpha: float | None = None
    """Parameter of the Beta distribution of mixup, see `TrainingCrops`; None for no mixup."""

    with_image_keys: bool = False
    """Whether crops carry the keys of their images, which are equal for equal images."""

    cached: CachedCrops | None = None
    """Cached features of all samples, which replace the crops; None reads images."""

    _order: SampleOrder = field(init=False, repr=False)
    _crops: TrainingCrops = field(init=False, repr=False)
    _skip_log: SkipLog = field(init=False, repr=False)
    _worker_deaths: WorkerDeaths = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if len(self.source) == 0:
            raise ValueError(f"{self.source.name} has no samples to train on")
        if self.global_batch_size < 1 or self.global_batch_size % self.world_size:
            raise ValueError(
                f"global_batch_size must be a multiple of the {self.world_size} processes, got {self.global_batch_size}"
            )
        if self.micro_batch_size is not None and (self.micro_batch_size < 1 or self._own_pairs % self.micro_batch_size):
            raise ValueError(
                f"micro_batch_size must divide the {self._own_pairs} pairs that each process has per step,"
                f" got {self.micro_batch_size}"
            )
        if self.world_size > 1 and self.sum_over_ranks is None:
            raise ValueError(f"batches of {self.world_size} processes need sum_over_ranks for the totals of labels")
        self._order = keyed_order(self.source, self.seed) if self.order is None else self.order
        self._skip_log = SkipLog(self.source, 0.0) if self.skip_log is None else self.skip_log
        self._crops = TrainingCrops(
            self.source,
            self.transform_config,
            self.image_size,
            self.seed,
            self.cache_images,
            mixup_alpha=self.mixup_alpha,
            with_image_keys=self.with_image_keys,
        )
        self._worker_deaths = WorkerDeaths(f"process {self.rank}: " if self.world_size > 1 else "")

    @property
    def has_failed(self) -> bool:
        """Whether so many workers have died that the run should save and end; later batches are read without them."""
        return self._worker_deaths.are_too_many

    def from_position(self, position: int) -> Iterator[list[TrainingBatch]]:
        """Yield the micro-batches of this rank for the batch after ``position`` samples, then those that follow."""
        with self._read_crops(position) as read:
            for first in count(position, self.global_batch_size):
                micro_batches = self._own_micro_batches(first)
                totals = self._totals(micro_batches)
                yield [self._batch(crops, totals) for crops in read(first, micro_batches)]

    @contextmanager
    def _read_crops(self, position: int) -> Iterator[_ReadCrops]:
        """Context of a function that returns the crops, or cached features, of the next step's micro-batches."""
        cached = self.cached
        if cached is not None:
            yield lambda _, micro_batches: map(cached.batch, micro_batches)
            return
        reader = CropReader(
            self._crops,
            lambda number: self._micro_batches(position, number),
            0,
            num_workers=self.num_workers,
            pin_memory=self.pin_memory,
            deaths=self._worker_deaths,
        )

        # The traceback of an error would keep the workers alive, whose late shutdown takes seconds.
        with closing(reader), reading_ahead(self.source, self._order, position) as ahead:

            def read(first: int, micro_batches: Sequence[Sequence[SamplePosition]]) -> Iterator[CropBatch]:
                ahead.advance(first - position)
                return islice(reader, len(micro_batches))

            yield read

    def sample_names(self, position: int) -> list[str]:
        """Return the names of the samples that all ranks draw after ``position`` samples, without replacements."""
        return [self.source[index].key for _, index in self._order.positions(position, self.global_batch_size)]

    @property
    def _own_pairs(self) -> int:
        return self.global_batch_size // self.world_size

    @property
    def _micro_batches_per_step(self) -> int:
        return 1 if self.micro_batch_size is None else self._own_pairs // self.micro_batch_size

    def _micro_batches(self, position: int, number: int) -> Iterator[list[SamplePosition]]:
        """Yield this rank's micro-batches from ``number`` on; number 0 is the first after ``position`` samples."""
        batch, part = divmod(number, self._micro_batches_per_step)
        position += batch * self.global_batch_size
        yield from self._own_micro_batches(position)[part:]
        for following in count(position + self.global_batch_size, self.global_batch_size):
            yield from self._own_micro_batches(following)

    def _own_micro_batches(self, position: int) -> list[list[SamplePosition]]:
        """Return this rank's slice of the global batch after ``position`` samples, cut into micro-batches."""
        global_batch = self._order.positions(position, self.global_batch_size)
        size = self._own_pairs // self._micro_batches_per_step
        own = global_batch[self.rank * self._own_pairs : (self.rank + 1) * self._own_pairs]
        return [own[start : start + size] for start in range(0, len(own), size)]

    def _totals(self, micro_batches: list[list[SamplePosition]]) -> BatchTotals:
        num_labels = sum(self.batch_maker.num_labels(sample) for samples in micro_batches for sample in samples)
        return BatchTotals(
            num_samples=self.global_batch_size,
            num_labels=num_labels if self.sum_over_ranks is None else self.sum_over_ranks(num_labels),
        )

    def _batch(self, crops: CropBatch, totals: BatchTotals) -> TrainingBatch:
        for skipped in crops.skipped:
            self._skip_log.add(skipped)
        if crops.images is None:
            raise ValueError(
                f"{self.source.name}: {len(crops.skipped)} images, drawn one after another, cannot be read;"
                f" the first: {crops.skipped[0].detail}"
            )
        keys = [derive_key(self.seed, "sample", *position) for position in crops.positions]
        return self.batch_maker.batch(crops, crops.images, torch.tensor(keys), totals)


def validation_batches(
    source: SampleSource,
    batch_maker: BatchMaker,
    transform_config: ImageTransformConfig,
    image_size: int,
    batches: range,
    batch_size: int,
    seed: int,
) -> Iterator[TrainingBatch]:
    """Yield those ``batches`` (by number) of the samples in order, without randomness; the last may be smaller.

    Totals are those of the batch, so a batch's losses are means over it.
    """
    for number in batches:
        indices = range(number * batch_size, min((number + 1) * batch_size, len(source)))
        samples = [source[index] for index in indices]
        images = inference_batch([sample.open_image for sample in samples], image_size, transform_config)
        draw_keys = torch.tensor([derive_key(seed, "validation", index) for index in indices])
        yield batch_maker.in_order(samples, images, draw_keys)
