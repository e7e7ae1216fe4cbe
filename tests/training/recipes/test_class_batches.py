"""Classes in training batches; mixup."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from PIL import Image

from builders.predictors import ListSource, photo_source
from sycoca.data.loading.loader import TrainingBatches
from sycoca.preprocess.config import ImageTransformConfig
from sycoca.records import ClassBatch
from sycoca.training.recipes.classification.batches import ClassBatches

NAMES = ["cat", "dog", "owl"]


def flat(color: int, _smallest_side: int | None = None) -> Image.Image:
    return Image.new("RGB", (16, 16), (color, color, color))


COLORS = {"cat": 0, "dog": 100, "owl": 255}
LABELS = ["cat", "dog", "owl", "cat", "dog"]
SOURCE = ListSource(
    samples=tuple(
        replace(sample, label=label, open_image=partial(flat, COLORS[label]))
        for sample, label in zip(photo_source([()] * 5).samples, LABELS, strict=True)
    )
)


def batches(**changes) -> TrainingBatches:
    options = {"seed": 4, "global_batch_size": 5, "mixup_alpha": 1.0}
    examples = ClassBatches(SOURCE, NAMES, changes.pop("label_smoothing", None))
    transforms = ImageTransformConfig(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    return TrainingBatches(SOURCE, examples, transforms, 16, **{**options, **changes})


def first_batch(**changes) -> ClassBatch:
    (batch,) = next(batches(**changes).from_position(0))
    assert isinstance(batch, ClassBatch)
    return batch


def test_targets_are_the_shares_of_the_pictures():
    batch = first_batch()
    shades = torch.tensor([COLORS[name] for name in NAMES]) / 255
    torch.testing.assert_close(batch.images[:, 0, 8, 8], batch.targets @ shades, atol=1e-2, rtol=0)
    assert batch.targets.sum(1).tolist() == pytest.approx([1] * 5)
    assert ((batch.targets > 0.01).sum(1) == 2).any()


def test_a_mixture_does_not_depend_on_its_batch():
    whole = first_batch()
    parts = next(batches(micro_batch_size=1).from_position(0))
    torch.testing.assert_close(torch.cat([part.images for part in parts]), whole.images)
    torch.testing.assert_close(torch.cat([part.targets for part in parts]), whole.targets)


def test_every_epoch_mixes_differently():
    steps = batches().from_position(0)
    assert not torch.equal(next(steps)[0].targets.sort(0).values, next(steps)[0].targets.sort(0).values)


def test_without_mixup_a_picture_is_of_one_class():
    batch = first_batch(mixup_alpha=None)
    assert sorted(batch.targets.argmax(1).tolist()) == [0, 0, 1, 1, 2]
    assert set(batch.targets.flatten().tolist()) == {0.0, 1.0}


def test_smoothing_spreads_a_part_over_all_classes():
    batch = first_batch(mixup_alpha=None, label_smoothing=0.3)
    assert sorted(set(batch.targets.flatten().tolist())) == pytest.approx([0.1, 0.8])
    examples = ClassBatches(SOURCE, NAMES, 0.3)
    in_order = examples.in_order(SOURCE.samples[:2], torch.zeros(2, 3, 16, 16), torch.arange(2))
    assert in_order.targets.tolist() == [[1, 0, 0], [0, 1, 0]]
