import io
from collections import Counter
from dataclasses import replace
from itertools import islice
from threading import Barrier

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from sycoca.data.loading.loader import TrainingBatches, validation_batches
from sycoca.data.loading.order import KeyedOrder, TableOrder
from sycoca.data.loading.skipping import SkipLog
from sycoca.data.samples import ImageTextSample
from sycoca.preprocess.config import ImageTransformConfig, TokenizerConfig
from sycoca.preprocess.decoding import open_rgb
from sycoca.preprocess.image_transforms import inference_image
from sycoca.preprocess.tokenizer import Tokenizer
from sycoca.randomness import derive_key
from sycoca.records import BatchTotals, ImageTextBatch
from sycoca.training.recipes.image_text.batches import CaptionBatches

WORDS = ["a", "red", "circle", "left", "of", "blue", "square", "and", "green", "star"]
SEED = 11
TRANSFORMS = ImageTransformConfig(crop_min_area=0.5, flips=True)


class Pictures:
    """A few random pictures with captions of different lengths; counts how often they are opened."""

    name = "pictures"

    def __init__(self, count: int = 10, broken: tuple[int, ...] = ()) -> None:
        rng = np.random.default_rng(0)
        self.pixels = rng.integers(0, 256, (count, 12, 12, 3), dtype=np.uint8)
        self.captions = [
            tuple(f"{WORDS[i]} " + " ".join(rng.choice(WORDS, rng.integers(0, 9))) for _ in range(1 + i % 3))
            for i in range(count)
        ]
        self.broken = broken
        self.opened = Counter()

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> ImageTextSample:
        def open_image(_smallest_side: int | None = None) -> Image.Image:
            self.opened[index] += 1
            if index in self.broken:
                return open_rgb(io.BytesIO(b"nothing"), f"picture-{index}.png")
            return Image.fromarray(self.pixels[index])

        return ImageTextSample(key=str(index), captions=self.captions[index], open_image=open_image)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train([" ".join(WORDS)] * 5, TokenizerConfig(vocab_size=340))


@pytest.fixture
def make(tokenizer):
    def make_batches(source=None, **settings) -> TrainingBatches:
        settings = {"seed": SEED, "global_batch_size": 4} | settings
        source = Pictures() if source is None else source
        examples = CaptionBatches(source, tokenizer, 9, settings["seed"])
        return TrainingBatches(source, examples, TRANSFORMS, 8, **settings)

    return make_batches


def steps(batches: TrainingBatches, count: int, start: int = 0) -> list[list[ImageTextBatch]]:
    stream = batches.from_position(start * batches.global_batch_size)
    try:
        return list(islice(stream, count))
    finally:
        stream.close()


def rows(batches: list[ImageTextBatch]) -> list[tuple]:
    """Return all that belongs to each sample, whatever batch it is in."""
    return [
        (int(key), image.numpy().tobytes(), tuple(tokens[~padding].tolist()))
        for batch in batches
        for key, image, tokens, padding in zip(
            batch.draw_keys, batch.images, batch.tokens, batch.is_padding, strict=True
        )
    ]


def test_the_stream_is_one_epoch_after_the_other_and_drops_nothing(make):
    found = [key for step in steps(make(), 5) for batch in step for key in batch.draw_keys.tolist()]
    order = KeyedOrder(seed=SEED, num_samples=10).positions(0, 20)
    assert found == [derive_key(SEED, "sample", epoch, index) for epoch, index in order]


def test_a_batch_larger_than_the_source_reaches_into_further_epochs(make):
    (batch,) = steps(make(Pictures(3), global_batch_size=8), 1)[0]
    order = KeyedOrder(seed=SEED, num_samples=3).positions(0, 8)
    assert batch.draw_keys.tolist() == [derive_key(SEED, "sample", *position) for position in order]


def test_the_order_of_older_runs_is_kept_where_it_is_asked_for(make):
    order = TableOrder(seed=SEED, num_samples=10)
    found = [key for step in steps(make(order=order), 5) for batch in step for key in batch.draw_keys.tolist()]
    assert found == [derive_key(SEED, "sample", *position) for position in order.positions(0, 20)]


def test_each_pair_is_of_one_sample(tokenizer):
    source = Pictures()
    keys = {derive_key(SEED, "sample", 0, index): index for index in range(10)}
    config = replace(TRANSFORMS, crop_min_area=1.0, flips=False)
    examples = CaptionBatches(source, tokenizer, 9, SEED)
    batches = TrainingBatches(source, examples, config, 8, seed=SEED, global_batch_size=5)
    for (batch,) in steps(batches, 2):
        for key, image, tokens, padding in zip(
            batch.draw_keys.tolist(), batch.images, batch.tokens, batch.is_padding, strict=True
        ):
            index = keys[key]
            expected = inference_image(Image.fromarray(source.pixels[index]), 8, config)
            torch.testing.assert_close(image, expected)
            encoded = [tokenizer.encode(caption, 9) for caption in source.captions[index]]
            assert tokens[~padding].tolist() in encoded


@pytest.mark.parametrize("world_size", [2, 4])
def test_ranks_take_contiguous_slices_of_the_same_batches(make, world_size):
    whole = steps(make(global_batch_size=8), 3)
    counted: list[list[int]] = [[] for _ in range(world_size)]

    def of_rank(rank: int) -> list[list[ImageTextBatch]]:
        def sum_over_ranks(number: int) -> int:
            counted[rank].append(number)
            return 1000 + number

        return steps(make(global_batch_size=8, rank=rank, world_size=world_size, sum_over_ranks=sum_over_ranks), 3)

    ranks = [of_rank(rank) for rank in range(world_size)]
    for step, expected in enumerate(whole):
        assert [row for rank in ranks for row in rows(rank[step])] == rows(expected)
        assert sum(numbers[step] for numbers in counted) == expected[0].totals.num_labels
        for rank, numbers in zip(ranks, counted, strict=True):
            assert rank[step][0].totals == BatchTotals(num_samples=8, num_labels=1000 + numbers[step])


def test_micro_batches_change_no_sample(make):
    whole = steps(make(global_batch_size=6), 4)
    parts = steps(make(global_batch_size=6, micro_batch_size=2), 4)
    for step, micro_batches in enumerate(parts):
        assert [len(batch.tokens) for batch in micro_batches] == [2, 2, 2]
        assert rows(micro_batches) == rows(whole[step])
        assert all(batch.totals == whole[step][0].totals for batch in micro_batches)


def test_workers_change_no_sample(make):
    settings = {"global_batch_size": 6, "micro_batch_size": 3}
    alone = steps(make(**settings), 4)
    helped = steps(make(**settings, num_workers=2), 4)
    assert [rows(step) for step in helped] == [rows(step) for step in alone]
    assert [[batch.totals for batch in step] for step in helped] == [[batch.totals for batch in step] for step in alone]


def test_a_micro_batch_is_cut_several_at_a_time(make, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    source, both_are_open = Pictures(), Barrier(2, timeout=20)
    open_pictures = source.__class__.__getitem__

    def waiting(self, index: int) -> ImageTextSample:
        sample = open_pictures(self, index)

        def open_image(smallest_side: int | None = None) -> Image.Image:
            both_are_open.wait()
            return sample.open_image(smallest_side)

        return replace(sample, open_image=open_image)

    monkeypatch.setattr(Pictures, "__getitem__", waiting)
    assert len(steps(make(source, global_batch_size=2), 1)[0][0].images) == 2


@pytest.mark.parametrize("pin_memory", [False, True])
def test_images_wait_in_pinned_memory_where_that_is_asked_for(make, monkeypatch, pin_memory):
    asked = []

    class Watched(DataLoader):
        def __init__(self, *args, **options) -> None:
            asked.append(options.pop("pin_memory"))  # there is no GPU to pin for
            super().__init__(*args, **options)

    monkeypatch.setattr("sycoca.data.loading.workers.DataLoader", Watched)
    steps(make(pin_memory=pin_memory), 1)
    assert asked == [pin_memory]


def test_a_later_start_sees_what_an_uninterrupted_run_sees(make):
    whole = steps(make(), 7)
    assert [rows(step) for step in steps(make(), 3, start=4)] == [rows(step) for step in whole[4:]]


def test_batch_size_micro_batches_and_workers_may_change_at_any_position(make):
    def stream(position: int, count: int, **settings) -> list[tuple]:
        batches = make(**settings).from_position(position)
        try:
            return [row for _ in range(count) for row in rows(next(batches))]
        finally:
            batches.close()

    expected = stream(0, 11, global_batch_size=4)
    assert stream(0, 2, global_batch_size=4) == expected[:8]
    assert stream(8, 5, global_batch_size=6, micro_batch_size=2, num_workers=2) == expected[8:38]
    assert stream(38, 2, global_batch_size=3) == expected[38:44]


def test_totals_count_the_labels_of_the_global_batch(make):
    for micro_batches in steps(make(global_batch_size=6, micro_batch_size=3), 3):
        num_labels = sum(int((~batch.is_padding).sum()) - len(batch.tokens) for batch in micro_batches)
        assert {batch.totals.num_labels for batch in micro_batches} == {num_labels}
        assert {batch.totals.num_samples for batch in micro_batches} == {6}


def test_tokens_are_trimmed_to_the_micro_batch(make):
    lengths = set()
    for batch in (batch for step in steps(make(micro_batch_size=2), 8) for batch in step):
        assert not batch.is_padding[:, -1].all()
        assert torch.equal(batch.tokens == 0, batch.is_padding)
        lengths.add(batch.tokens.shape[1])
    assert len(lengths) > 2
    assert max(lengths) <= 9


def test_captions_and_crops_change_with_the_epoch(make):
    source = Pictures(2)
    batches = steps(make(source, global_batch_size=2), 30)
    keys = {derive_key(SEED, "sample", epoch, 1) for epoch in range(30)}
    seen = [row for step in batches for row in rows(step) if row[0] in keys]
    assert len(seen) == 30
    assert len({row[2] for row in seen}) == len(set(source.captions[1])) == 2
    assert len({row[1] for row in seen}) == 30


def test_cached_images_are_opened_once_and_change_nothing(make):
    plain, cached = Pictures(), Pictures()
    expected = steps(make(plain), 8)
    assert [rows(step) for step in steps(make(cached, cache_images=True), 8)] == [rows(step) for step in expected]
    assert set(cached.opened.values()) == {1}
    assert max(plain.opened.values()) > 1


def test_pytorchs_own_generator_is_left_alone(make):
    before = torch.get_rng_state()
    steps(make(), 2)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_without_a_log_the_first_unreadable_image_is_an_error_without_a_workers_traceback(make, num_workers):
    batches = make(Pictures(broken=(3,)), num_workers=num_workers)
    with pytest.raises(ValueError, match=r"picture-3.png .*1 of 10 samples cannot be used") as caught:
        steps(batches, 3)
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_another_sample_takes_the_place_of_an_unreadable_one(make, num_workers):
    source = Pictures(broken=(3, 7))
    log = SkipLog(source, 0.2)
    whole, dirty = steps(make(), 5), steps(make(source, skip_log=log, num_workers=num_workers), 5)
    assert sorted(skipped.name for skipped in log.skipped) == ["3", "7"]
    changed = 0
    for (clean,), (batch,) in zip(whole, dirty, strict=True):
        assert batch.totals == clean.totals
        for row in range(len(batch.images)):
            is_same = torch.equal(batch.draw_keys[row], clean.draw_keys[row])
            assert is_same == torch.equal(batch.images[row], clean.images[row])
            changed += not is_same
    assert changed == 4  # each of the two, once in either epoch
    assert not {derive_key(SEED, "sample", epoch, index) for epoch in (0, 1) for index in (3, 7)} & {
        int(key) for (batch,) in dirty for key in batch.draw_keys
    }


def test_replacements_do_not_depend_on_ranks_or_micro_batches(make):
    def keys(**settings) -> list[int]:
        source = Pictures(broken=(1, 3, 7))
        batches = make(source, skip_log=SkipLog(source, 0.5), **settings)
        return [int(key) for step in steps(batches, 5) for batch in step for key in batch.draw_keys]

    alone = keys()
    assert keys(micro_batch_size=1) == alone
    ranks = [keys(rank=rank, world_size=2, sum_over_ranks=lambda number: number) for rank in (0, 1)]
    assert [key for step in range(5) for rank in ranks for key in rank[2 * step : 2 * step + 2]] == alone


def test_too_many_unreadable_images_end_the_run(make):
    source = Pictures(broken=(1, 3, 7))
    with pytest.raises(ValueError, match=r"picture-\d.png .*3 of 10 .* more than max_skipped_ratio 0.2 allows"):
        steps(make(source, skip_log=SkipLog(source, 0.2)), 5)


def test_an_image_without_caption_is_an_error_that_names_it(make):
    source = Pictures()
    source.captions[3] = ()
    with pytest.raises(ValueError, match=r"^pictures: 3 has no caption, and training needs one for every image"):
        steps(make(source), 3)


def test_a_source_without_any_readable_image_does_not_loop_for_ever(make):
    source = Pictures(broken=tuple(range(10)))
    with pytest.raises(ValueError, match=r"100 images, drawn one after another, cannot be read; the first: picture-"):
        steps(make(source, global_batch_size=1, skip_log=SkipLog(source, 1.0)), 1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"global_batch_size": 0}, "global_batch_size must be a multiple of the 1 processes, got 0"),
        ({"global_batch_size": 6, "world_size": 4}, "global_batch_size must be a multiple of the 4 processes, got 6"),
        ({"world_size": 2}, "batches of 2 processes need sum_over_ranks for the totals of labels"),
        ({"micro_batch_size": 3}, "micro_batch_size must divide the 4 pairs .* got 3"),
        ({"micro_batch_size": 0}, "micro_batch_size must divide the 4 pairs .* got 0"),
        ({"source": Pictures(0), "global_batch_size": 1}, "pictures has no samples to train on"),
    ],
)
def test_refuses_batches_that_cannot_be_made(make, settings, message):
    with pytest.raises(ValueError, match=message):
        make(**settings)


def test_validation_sees_every_sample_once_with_its_first_caption(tokenizer):
    source = Pictures(7)
    examples = CaptionBatches(source, tokenizer, 9, seed=5)
    batches = list(validation_batches(source, examples, TRANSFORMS, 8, range(3), batch_size=3, seed=5))
    (last,) = validation_batches(source, examples, TRANSFORMS, 8, range(2, 3), batch_size=3, seed=5)
    assert torch.equal(last.images, batches[2].images)
    assert [batch.totals.num_samples for batch in batches] == [3, 3, 1]
    expected = [
        (
            derive_key(5, "validation", index),
            inference_image(Image.fromarray(source.pixels[index]), 8, TRANSFORMS).numpy().tobytes(),
            tuple(tokenizer.encode(source.captions[index][0], 9)),
        )
        for index in range(7)
    ]
    assert rows(batches) == expected
    for batch in batches:
        assert batch.totals.num_labels == int((~batch.is_padding).sum()) - len(batch.tokens)


def test_samples_of_one_image_open_it_once(make):
    """Questions about an image are samples of their own."""
    one = Pictures(1)
    sample = one[0]

    class Twice:
        name = "twice"

        def __len__(self) -> int:
            return 4

        def __getitem__(self, index: int) -> ImageTextSample:
            return replace(sample, key=str(index))

    steps(make(Twice(), cache_images=True, seed=3), 2)
    assert sum(one.opened.values()) == 1


def test_captions_are_kept_up_to_a_number(make, monkeypatch):
    monkeypatch.setattr("sycoca.training.recipes.image_text.batches.KEPT_CAPTIONS", 3)
    encoded = Counter()
    encode = Tokenizer.encode

    def counted(self: Tokenizer, text: str, context_length: int) -> list[int]:
        encoded[text] += 1
        return encode(self, text, context_length)

    monkeypatch.setattr(Tokenizer, "encode", counted)
    bounded = [rows(step) for step in steps(make(), 10)]
    monkeypatch.undo()
    assert bounded == [rows(step) for step in steps(make(), 10)]
    # Four images per step and two encodings per caption: more than three captions are encoded more than once.
    assert sum(encoded.values()) > 2 * len(encoded)
