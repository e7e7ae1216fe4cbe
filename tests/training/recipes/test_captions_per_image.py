"""Which captions of an image ITC compares: the one that is drawn alone, then others without repetition."""

from collections import Counter
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sycoca.data.loading.crops import CropBatch
from sycoca.data.samples import ImageTextSample
from sycoca.preprocess.config import TokenizerConfig
from sycoca.preprocess.tokenizer import Tokenizer
from sycoca.presets.pretrain import pretrain_preset
from sycoca.records import BatchTotals, ImageTextBatch
from sycoca.training.engine.tracking import read_metrics
from sycoca.training.pretrain import pretrain
from sycoca.training.recipes.image_text.batches import CaptionBatches
from sycoca.training.recipes.image_text.caption_kinds import GeneratedRatios
from sycoca.training.recipes.pretraining.recipe import Pretraining

CAPTIONS = (
    ("a", "b b", "c c c", "d d d d", "e e e e e"),
    ("a", "A", "b b", "a"),
    ("c c c",),
)
"""Of three images: five captions; two, of which one is said three times; one."""

IMAGES = torch.zeros(3, 3, 8, 8)
TOTALS = BatchTotals(num_samples=3, num_labels=9)


class Captioned:
    """Three images with their captions."""

    name = "captioned"

    def __init__(
        self, captions: tuple[tuple[str, ...], ...] = CAPTIONS, generated: tuple[str, ...] = ("e", "d d")
    ) -> None:
        self.captions, self.generated = captions, generated

    def __len__(self) -> int:
        return len(self.captions)

    def __getitem__(self, index: int) -> ImageTextSample:
        return ImageTextSample(
            key=str(index),
            captions=self.captions[index],
            generated_captions=self.generated,
            open_image=lambda _=None: pytest.fail("no image is needed"),
        )


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(["a b c d e"] * 5, TokenizerConfig(vocab_size=262))


def batch_of(tokenizer: Tokenizer, epoch: int, captions_per_image: int, ratio: float | None = None):
    batches = CaptionBatches(Captioned(), tokenizer, 16, 4, ratio, captions_per_image)
    crops = CropBatch(positions=((epoch, 0), (epoch, 1), (epoch, 2)), images=IMAGES, skipped=(), image_keys=(7, 8, 9))
    return batches.batch(crops, IMAGES, torch.arange(3), TOTALS)


def texts(tokenizer: Tokenizer, batch: ImageTextBatch) -> list[list[str]]:
    """Return the captions of each image as the model reads them, the first one first."""
    more = batch.more_captions
    found = [
        [tokenizer.decode(own[~padding].tolist())] for own, padding in zip(batch.tokens, batch.is_padding, strict=True)
    ]
    if more is not None:
        rows = zip(more.is_caption.nonzero()[:, 0].tolist(), more.tokens, more.is_padding, strict=True)
        for image, tokens, is_padding in rows:
            found[image].append(tokenizer.decode(tokens[~is_padding].tolist()))
    return found


def test_the_first_caption_is_the_one_that_is_drawn_alone_and_others_follow(tokenizer: Tokenizer):
    drawn = Counter()
    for epoch in range(60):
        alone, several = (batch_of(tokenizer, epoch, number) for number in (1, 3))
        assert alone.more_captions is None
        for name in ("tokens", "is_padding", "sample_keys", "num_tokens"):
            assert torch.equal(torch.as_tensor(getattr(alone, name)), torch.as_tensor(getattr(several, name)))
        found = texts(tokenizer, several)
        assert [len(own) for own in found] == [3, 2, 1]
        assert len(set(found[0])) == 3
        assert {own.lower() for own in found[1]} == {"a", "b b"}
        drawn.update(found[0][1:])
    assert drawn.keys() == set(CAPTIONS[0])
    assert all(12 <= number <= 36 for number in drawn.values())  # 24 each, with a standard deviation below 4


def test_places_that_an_image_leaves_free_are_marked_and_keyed(tokenizer: Tokenizer):
    batch = batch_of(tokenizer, 0, 6)
    more = batch.more_captions
    assert more is not None
    assert batch.sample_keys is not None
    assert more.caption_keys is not None
    assert more.is_caption.sum(1).tolist() == [4, 1, 0]
    assert more.num_tokens == (~more.is_padding).sum()
    keys = torch.cat([batch.sample_keys[:, 1:], more.caption_keys], dim=1).tolist()
    assert len(set(keys[0])) == 5  # the sixth place is free
    assert keys[0][5] == keys[0][0]
    assert set(keys[1][2:]) == {keys[1][0]}
    assert set(keys[2]) == {keys[2][0]}
    assert set(keys[1]) < set(keys[0])
    assert keys[2][0] in keys[0]


def test_a_batch_without_further_captions_has_none_of_a_length(tokenizer: Tokenizer):
    batches = CaptionBatches(Captioned((("a",), ("b",), ("c",))), tokenizer, 16, 4, None, 3)
    crops = CropBatch(positions=((0, 0), (0, 1), (0, 2)), images=IMAGES, skipped=(), image_keys=(None,) * 3)
    more = batches.batch(crops, IMAGES, torch.arange(3), TOTALS).more_captions
    assert more is not None
    assert more.tokens.shape == (0, 1)
    assert more.caption_keys is None
    assert not more.is_caption.any()


def test_further_captions_are_of_the_kind_that_is_drawn(tokenizer: Tokenizer):
    found = texts(tokenizer, batch_of(tokenizer, 0, 5, ratio=1.0))
    assert [sorted(own) for own in found] == [["d d", "e"]] * 3


def test_data_without_several_captions_are_refused():
    one_each = Captioned((("a",), ("b",)), generated=("c",))
    GeneratedRatios(one_each, None).check_several(1)
    GeneratedRatios(Captioned(), None).check_several(5)
    config = pretrain_preset("tiny")
    config = replace(config, objectives=replace(config.objectives, captions_per_image=5))
    with pytest.raises(
        ValueError, match=r"no image of captioned has several captions of a kind that is drawn, and objectives\.cap"
    ):
        Pretraining.for_new_run(config).open_sources(one_each, Captioned())


@pytest.mark.parametrize(
    ("originals", "generated", "ratio", "is_drawn"),
    [
        (("a",), ("b", "c"), None, False),
        (("a",), ("b", "c"), 0.0, False),
        (("a",), ("b", "c"), 0.5, True),
        (("a", "b"), ("c",), 1.0, False),
        (("a", "b"), (), 1.0, True),
        ((), ("b", "c"), 0.5, True),
    ],
)
def test_only_captions_of_a_kind_that_is_drawn_count(
    originals: tuple[str, ...], generated: tuple[str, ...], ratio: float | None, is_drawn: bool
):
    ratios = GeneratedRatios(Captioned((originals,), generated=generated), ratio)
    with nullcontext() if is_drawn else pytest.raises(ValueError, match="of a kind that is drawn"):
        ratios.check_several(4)


def test_a_run_compares_several_captions_in_any_micro_batches(tmp_path: Path):
    losses = []
    for size in (8, 4):
        config = pretrain_preset("tiny")
        config = replace(
            config,
            out=str(tmp_path / str(size)),
            data=replace(config.data, train="scenes:?level=medium&count=32", validation=None),
            objectives=replace(config.objectives, captions_per_image=4),
            training=replace(
                config.training,
                steps=2,
                global_batch_size=8,
                micro_batch_size=size,
                log_every=1,
                tensorboard=False,
                report=False,
            ),
        )
        run = pretrain(config)
        losses.append([row["contrastive"] for row in read_metrics(run / "metrics.jsonl")])
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
