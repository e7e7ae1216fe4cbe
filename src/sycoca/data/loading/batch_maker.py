"""Interface between the loader and a training task: crops in, training batch out."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

from sycoca.data.loading.crops import CropBatch
from sycoca.data.loading.order import SamplePosition
from sycoca.data.samples import ImageTextSample
from sycoca.records import BatchTotals, Images, TrainingBatch


@runtime_checkable
class BatchMaker(Protocol):
    """Turns crops of images into batches of one kind."""

    def num_labels(self, position: SamplePosition) -> int:
        """Return how many tokens of a sample are predicted in an epoch, or how many questions; 0 for classes."""
        ...

    def batch(
        self,
        crops: CropBatch,
        images: Images,
        draw_keys: Int[Tensor, " batch"],
        totals: BatchTotals,
    ) -> TrainingBatch:
        """Return the batch of these crops, none of whose ``images`` is missing."""
        ...

    def in_order(
        self,
        samples: Sequence[ImageTextSample],
        images: Float[Tensor, "batch 3 height width"],
        draw_keys: Int[Tensor, " batch"],
    ) -> TrainingBatch:
        """Return the validation batch of these samples: nothing is random, and totals are those of the batch."""
        ...
