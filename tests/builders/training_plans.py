"""Random plans of training that is stopped and resumed with other numbers of processes, workers and samples."""

import random
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sycoca.data.loading.crops import CropBatch
from sycoca.data.loading.loader import TrainingBatches
from sycoca.data.loading.order import KeyedOrder, MixtureOrder, SampleOrder, SamplePosition, TableOrder
from sycoca.data.samples import ImageTextSample
from sycoca.preprocess.config import ImageTransformConfig
from sycoca.records import BatchTotals, ClassBatch

CROPS = ImageTransformConfig(crop_min_area=1.0, flips=False)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Steps between two stops."""

    num_steps: int
    world_size: int
    num_workers: int
    micro_batch_size: int
    num_micro_batches: int

    @property
    def global_batch_size(self) -> int:
        return self.world_size * self.micro_batch_size * self.num_micro_batches


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A run in stages."""

    num_samples: int
    order: SampleOrder
    stages: tuple[Stage, ...]


class NumberedPictures:
    """Samples whose images are of one color each: their index."""

    name = "numbered pictures"

    def __init__(self, num_samples: int) -> None:
        self._num_samples = num_samples

    def __len__(self) -> int:
        return self._num_samples

    def __getitem__(self, index: int) -> ImageTextSample:
        def open_image(_smallest_side: int | None = None, /) -> Image.Image:
            return Image.fromarray(np.full((4, 4, 3), index % 256, dtype=np.uint8))

        return ImageTextSample(key=str(index), captions=(), open_image=open_image)


class PositionBatches:
    """Batches whose targets are epoch and index of each sample, and color of its crop; the label counts the index."""

    def num_labels(self, position: SamplePosition) -> int:
        return position[1]

    def batch(self, crops: CropBatch, images: Tensor, draw_keys: Tensor, totals: BatchTotals) -> ClassBatch:
        levels = (images[:, 0, 0, 0] * CROPS.std[0] + CROPS.mean[0]) * 255
        rows = [[*position, round(float(level))] for position, level in zip(crops.positions, levels, strict=True)]
        return ClassBatch(images=images, targets=torch.tensor(rows).float(), draw_keys=draw_keys, totals=totals)

    def in_order(self, samples: Sequence[ImageTextSample], images: Tensor, draw_keys: Tensor) -> ClassBatch:
        raise NotImplementedError


def random_plan(number: int, *, most_workers: int) -> Plan:
    """Return a plan: two or three stages over one to four epochs of up to 150 samples."""
    rng = random.Random(number)
    num_samples = rng.randrange(1, 150)
    order = _random_order(rng, num_samples)
    stages = []
    for _ in range(rng.randrange(2, 4)):
        stage = Stage(
            num_steps=1,
            world_size=rng.randrange(1, 5),
            num_workers=rng.randrange(most_workers + 1),
            micro_batch_size=rng.randrange(1, 6),
            num_micro_batches=rng.randrange(1, 4),
        )
        wanted = rng.uniform(0.4, 1.4) * num_samples
        stages.append(Stage(**{**vars(stage), "num_steps": 1 + int(wanted / stage.global_batch_size)}))
    return Plan(num_samples=num_samples, order=order, stages=tuple(stages))


def _random_order(rng: random.Random, num_samples: int) -> SampleOrder:
    seed = rng.randrange(1000)
    match rng.randrange(4):
        case 0:
            return TableOrder(seed=seed, num_samples=num_samples)
        case 1 if num_samples > 2:
            num_first = rng.randrange(1, num_samples)
            return MixtureOrder(
                seed=seed,
                parts=(_keyed(rng, num_first), _keyed(rng, num_samples - num_first)),
                nums_per_cycle=(rng.randrange(1, 9), rng.randrange(1, 9)),
            )
        case _:
            return _keyed(rng, num_samples)


def _keyed(rng: random.Random, num_samples: int) -> KeyedOrder:
    seed = rng.randrange(1000)
    if rng.random() < 0.5:
        return KeyedOrder(seed=seed, num_samples=num_samples)
    sizes = {"block_size": rng.randrange(2, 12), "window_size": rng.randrange(12, 60)}
    return KeyedOrder(seed=seed, num_samples=num_samples, **sizes)


def check(plan: Plan) -> None:
    """Run a plan; every sample of every epoch is seen exactly once, in the global batches of one process."""
    position, seen = 0, Counter[SamplePosition]()
    for stage in plan.stages:
        size = stage.global_batch_size
        steps = [_steps(plan, stage, rank, position) for rank in range(stage.world_size)]
        for step in range(stage.num_steps):
            own = [samples for rank in steps for samples, _ in [rank[step]]]
            batch = [sample for samples in own for sample in samples]
            assert batch == plan.order.positions(position, size)
            assert [total for rank in steps for _, total in [rank[step]]] == [
                sum(index for _, index in samples) for samples in own
            ]
            seen.update(batch)
            position += size
    assert max(seen.values()) == 1
    assert _unseen(plan.order, plan.num_samples, position, seen) == set()


def _unseen(
    order: SampleOrder, num_samples: int, position: int, seen: Collection[SamplePosition]
) -> set[SamplePosition]:
    """Return the samples of complete epochs before a position that were not seen; of a mixture's sources, too."""
    streams = [(0, num_samples, position)]
    if isinstance(order, MixtureOrder):
        cycles = position // sum(order.nums_per_cycle)
        sizes = [part.num_samples for part in order.parts]
        starts = [sum(sizes[:number]) for number in range(len(sizes))]
        streams = list(zip(starts, sizes, [cycles * number for number in order.nums_per_cycle], strict=True))
    whole = {
        (epoch, index)
        for start, size, consumed in streams
        for epoch in range(consumed // size)
        for index in range(start, start + size)
    }
    return whole - set(seen)


def _steps(plan: Plan, stage: Stage, rank: int, position: int) -> list[tuple[list[SamplePosition], int]]:
    """Return what a process gets in each step: its samples, and the labels that it has counted."""
    batches = TrainingBatches(
        NumberedPictures(plan.num_samples),
        PositionBatches(),
        CROPS,
        4,
        seed=0,
        global_batch_size=stage.global_batch_size,
        micro_batch_size=stage.micro_batch_size,
        order=plan.order,
        num_workers=stage.num_workers,
        rank=rank,
        world_size=stage.world_size,
        sum_over_ranks=lambda number: number,
    )
    stream = batches.from_position(position)
    try:
        return [_received(step) for step in islice(stream, stage.num_steps)]
    finally:
        stream.close()  # pyright: ignore[reportAttributeAccessIssue]


def _received(micro_batches: Sequence[object]) -> tuple[list[SamplePosition], int]:
    samples, totals = [], set()
    for batch in micro_batches:
        assert isinstance(batch, ClassBatch)
        totals.add(batch.totals.num_labels)
        for epoch, index, level in batch.targets.int().tolist():
            assert level == index % 256
            samples.append((epoch, index))
    (total,) = totals
    return samples, int(total)
