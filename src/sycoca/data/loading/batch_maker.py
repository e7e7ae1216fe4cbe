"""The interface between the loader and a kind of training: images in, training batch out."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

from sycoca.data.loading.crops import CropBatch, Place
from sycoca.data.samples import ImageTextSample
from sycoca.records import BatchTotals, TrainingBatch


@runtime_checkable
class BatchMaker(Protocol):
    """Turns crops of images into batches of one kind."""

    def num_labels(self, place: Place) -> int:
        """Return how many tokens a sample has to predict in an epoch, or questions to answer; 0 for classes."""
        ...

    def batch(
        self,
        crops: CropBatch,
        images: Float[Tensor, "batch 3 height width"],
        draw_keys: Int[Tensor, " batch"],
        totals: BatchTotals,
    ) -> TrainingBatch:
        """Return the batch of these crops, whose ``images`` are all there."""
        ...

    def in_order(
        self,
        samples: Sequence[ImageTextSample],
        images: Float[Tensor, "batch 3 height width"],
        draw_keys: Int[Tensor, " batch"],
    ) -> TrainingBatch:
        """Return the batch of these samples as validation sees it: nothing drawn, totals those of the batch."""
        ...
