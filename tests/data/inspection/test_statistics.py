import io
from functools import partial

from PIL import Image

from builders.predictors import photo_source
from sycoca.data.inspection.finding_cache import FindingCache
from sycoca.data.inspection.image_inspection import inspect_images
from sycoca.data.inspection.statistics import (
    Spread,
    all_captions,
    all_texts,
    caption_statistics,
    image_statistics,
    spread,
)
from sycoca.data.samples import ImageTextSample, Question
from sycoca.data.selection import evenly_spread
from sycoca.preprocess.config import TokenizerConfig
from sycoca.preprocess.decoding import open_rgb
from sycoca.preprocess.tokenizer import Tokenizer

TEXTS = [("red dog", "a red dog"), ("red dog",), ("A big red dog sat",), ("dog", "cat", "dog")]


class Source:
    name = "four"

    def __len__(self) -> int:
        return len(TEXTS)

    def __getitem__(self, index: int) -> ImageTextSample:
        broken = partial(open_rgb, io.BytesIO(b""), f"image-{index}")
        image = Image.new("RGB", (10 + index, 20))
        questions = (Question(question="who?", answers=("dog",)),) * index
        return ImageTextSample(
            key=str(index),
            captions=TEXTS[index],
            open_image=broken if index == 2 else lambda _smallest_side=None: image,
            label="dog" if index else None,
            questions=questions,
        )


def test_counts_worked_by_hand():
    tokenizer = Tokenizer.train(["a big red dog sat cat"] * 5, TokenizerConfig(vocab_size=300))
    found = caption_statistics(Source(), tokenizer, context_length=5)
    assert (found.num_samples, found.num_captions, found.num_different_captions) == (4, 7, 5)
    assert found.captions_per_sample == Spread(least=1, mean=7 / 4, median=1, most=3)
    assert found.words_per_caption == Spread(least=1, mean=15 / 7, median=2, most=5)
    assert found.tokens_per_caption == Spread(least=3, mean=29 / 7, median=4, most=7)
    assert (found.num_truncated, found.truncated_ratio) == (1, 1 / 7)
    assert (found.num_words, found.num_labels, found.num_questions) == (6, 1, 6)
    assert list(all_captions(Source())) == [text for texts in TEXTS for text in texts]


def test_a_tokenizer_learns_captions_and_questions():
    source = Source()
    asked = [question.question for index in range(len(source)) for question in source[index].questions]
    assert sorted(all_texts(source)) == sorted([*all_captions(source), *asked])
    assert len(asked) == 6


def test_a_caption_that_just_fits_is_not_truncated():
    tokenizer = Tokenizer.train(["a big red dog sat cat"] * 5, TokenizerConfig(vocab_size=300))
    assert caption_statistics(Source(), tokenizer, context_length=7).num_truncated == 0


def test_images_are_measured_and_unreadable_ones_named():
    found = image_statistics(list(inspect_images(Source(), FindingCache(None), range(4))))
    assert found.num_opened == 4
    assert found.widths == Spread(least=10, mean=34 / 3, median=11, most=13)
    assert found.heights == Spread(least=20, mean=20.0, median=20, most=20)
    (failure,) = found.failures
    assert failure.startswith("image-2 cannot be read as an image")
    none = image_statistics([])
    assert (none.num_opened, none.widths, none.heights, none.failures) == (0, None, None, ())


def test_places_are_spread_evenly():
    assert evenly_spread(10, 4) == [0, 2, 5, 7]
    assert evenly_spread(3, 9) == [0, 1, 2]
    assert evenly_spread(3, 0) == []


def test_a_source_without_captions_has_no_words_to_spread():
    source = photo_source([(), ()])
    found = caption_statistics(source, Tokenizer.train(["x"], TokenizerConfig(vocab_size=300)), context_length=5)
    assert (found.num_samples, found.num_captions, found.truncated_ratio) == (2, 0, 0.0)
    assert (found.words_per_caption, found.tokens_per_caption) == (None, None)


def test_the_median_of_an_even_number_is_the_lower_one():
    assert spread([4, 1, 3, 2]) == Spread(least=1, mean=2.5, median=2, most=4)
