"""Batches of cached features in place of crops: the same samples, views and replacements of unreadable images."""

from collections.abc import Iterable, Sequence
from typing import final

import torch

from sycoca.data.loading.crops import MOST_ATTEMPTS, CropBatch, replacement
from sycoca.data.loading.features.feature_files import SAMPLES_PER_FILE, FeatureFile, StoredFeatures, read_features
from sycoca.data.loading.order import SamplePosition
from sycoca.records import ImageTokens
from sycoca.unusable import SkippedSample


@final
class CachedCrops:
    """The cached features of all samples; epoch ``e`` uses view ``e`` modulo the number of views."""

    def __init__(self, files: Iterable[FeatureFile], num_samples: int, seed: int) -> None:
        """Map the files into memory; ``seed`` is the run's, from which replacements are drawn."""
        self._num_samples = num_samples
        self._seed = seed
        self._views: list[list[StoredFeatures]] = []
        for file in files:
            if file.samples.start == 0:
                self._views.append([])
            self._views[-1].append(read_features(file.path))

    def batch(self, positions: Sequence[SamplePosition]) -> CropBatch:
        """Return what `TrainingCrops` and a frozen encoder give for these samples."""
        skipped: list[SkippedSample] = []
        used = [self._readable(position, skipped) for position in positions]
        found = [position for position in used if position is not None]
        rows = [self._row(position) for position in found]
        return CropBatch(
            positions=tuple(found),
            images=_gathered(rows) if len(found) == len(positions) else None,
            skipped=tuple(skipped),
            mixed=(None,) * len(found),
            image_keys=tuple(int(stored.image_keys[row]) for stored, row in rows),
        )

    def _readable(self, position: SamplePosition, skipped: list[SkippedSample]) -> SamplePosition | None:
        """Return the sample that is used for a slot of a batch; unreadable ones before it go to ``skipped``."""
        epoch, first = position
        for attempt in range(MOST_ATTEMPTS):
            index = replacement(self._seed, position, attempt, self._num_samples) if attempt else first
            stored, row = self._row((epoch, index))
            if stored.is_readable[row]:
                return epoch, index
            skipped.append(stored.skipped[row])
        return None

    def _row(self, position: SamplePosition) -> tuple[StoredFeatures, int]:
        epoch, index = position
        block, row = divmod(index, SAMPLES_PER_FILE)
        return self._views[epoch % len(self._views)][block], row


def _gathered(rows: Sequence[tuple[StoredFeatures, int]]) -> ImageTokens:
    """Return rows of several files as one batch."""
    return ImageTokens(
        cls_tokens=torch.stack([stored.tokens.cls_tokens[row] for stored, row in rows]).float(),
        patch_tokens=torch.stack([stored.tokens.patch_tokens[row] for stored, row in rows]).float(),
    )
