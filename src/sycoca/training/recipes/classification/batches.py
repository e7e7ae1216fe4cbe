"""Batches of images with class targets."""

from collections.abc import Sequence
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from sycoca.data.loading.crops import CropBatch
from sycoca.data.loading.order import SamplePosition
from sycoca.data.samples import ImageTextSample, SampleSource
from sycoca.records import BatchTotals, ClassBatch, Images
from sycoca.texts import normal_form


@final
class ClassBatches:
    """Makes batches of images with one-hot classes, mixed by mixup and smoothed in training."""

    def __init__(self, source: SampleSource, class_names: Sequence[str], label_smoothing: float | None) -> None:
        self._source = source
        self._index_of = {normal_form(name): index for index, name in enumerate(class_names)}
        self._label_smoothing = label_smoothing

    def num_labels(self, position: SamplePosition) -> int:  # noqa: ARG002 (no token is predicted)
        """Return 0: no token is predicted."""
        return 0

    def batch(
        self,
        crops: CropBatch,
        images: Images,
        draw_keys: Int[Tensor, " batch"],
        totals: BatchTotals,
    ) -> ClassBatch:
        """Return a batch of crops with soft targets: mixup ratios, then label smoothing."""
        targets = self._one_hot([self._source[index] for _, index in crops.positions])
        for row, mixed in enumerate(crops.mixed):
            if mixed is not None:
                other = self._one_hot([self._source[mixed.partner]])[0]
                targets[row] = torch.lerp(targets[row], other, mixed.ratio)
        if self._label_smoothing is not None:
            # Label smoothing as in Inception (arXiv 1512.00567, section 7).
            targets = targets * (1 - self._label_smoothing) + self._label_smoothing / targets.shape[1]
        return ClassBatch(images=images, targets=targets, draw_keys=draw_keys, totals=totals)

    def in_order(
        self,
        samples: Sequence[ImageTextSample],
        images: Float[Tensor, "batch 3 height width"],
        draw_keys: Int[Tensor, " batch"],
    ) -> ClassBatch:
        """Return a validation batch: images with their classes, without mixup and smoothing."""
        totals = BatchTotals(num_samples=len(samples), num_labels=0)
        return ClassBatch(images=images, targets=self._one_hot(samples), draw_keys=draw_keys, totals=totals)

    def _one_hot(self, samples: Sequence[ImageTextSample]) -> Float[Tensor, "samples classes"]:
        indices = torch.tensor([self._index_of[normal_form(str(sample.label))] for sample in samples])
        return F.one_hot(indices, len(self._index_of)).float()
