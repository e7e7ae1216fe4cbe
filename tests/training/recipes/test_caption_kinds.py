"""Training draws original and generated captions with the configured probability."""

from collections import Counter
from dataclasses import replace

import pytest
import torch
from PIL import Image

from sycoca.data.formats.mixture import MixtureSource
from sycoca.data.inspection.statistics import all_texts
from sycoca.data.samples import ImageTextSample, MixturePart
from sycoca.preprocess.config import TokenizerConfig
from sycoca.preprocess.tokenizer import Tokenizer
from sycoca.presets.pretrain import pretrain_preset
from sycoca.randomness import derive_key
from sycoca.training.pretrain import pretrain
from sycoca.training.recipes.image_text.batches import CaptionBatches
from sycoca.training.recipes.image_text.caption_kinds import GeneratedRatios
from sycoca.training.recipes.notices import count_truncated
from sycoca.training.recipes.pretraining.recipe import Pretraining

ORIGINAL = ("x", "x x", "x x x")
GENERATED = ("x x x x", "x x x x x")
SEED = 4


def open_image(_smallest_side: int | None = None) -> Image.Image:
    return Image.new("RGB", (8, 8))


class Recaptioned:
    """Images with the same captions of both kinds."""

    name = "recaptioned"

    def __init__(self, captions: tuple[str, ...] = ORIGINAL, generated: tuple[str, ...] = GENERATED, count=50) -> None:
        self.captions, self.generated, self.count = captions, generated, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> ImageTextSample:
        captions, generated = self.captions, self.generated
        return ImageTextSample(key=str(index), captions=captions, generated_captions=generated, open_image=open_image)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(["x x"] * 5, TokenizerConfig(vocab_size=262))


@pytest.fixture
def drawn(tokenizer: Tokenizer):
    """Return the caption of each position, told by its length."""
    captions = {tokenizer.num_tokens(caption) - 1: caption for caption in (*ORIGINAL, *GENERATED)}
    assert len(captions) == 5

    def draw(source, ratio: float | None, num_epochs: int = 40) -> dict[tuple[int, int], str]:
        batches = CaptionBatches(source, tokenizer, 16, SEED, ratio)
        positions = [(epoch, index) for epoch in range(num_epochs) for index in range(len(source))]
        return {at: captions[batches.num_labels(at)] for at in positions}

    return draw


def original_of(epoch: int, index: int) -> str:
    return ORIGINAL[derive_key(SEED, "caption", epoch, index) % 3]


def test_without_a_ratio_every_draw_is_that_of_data_without_generated_captions(drawn):
    found = drawn(Recaptioned(), None)
    assert found == drawn(Recaptioned(generated=()), None)
    assert found == {(epoch, index): original_of(epoch, index) for epoch, index in found}


def test_the_ratio_is_the_probability_of_a_generated_caption(drawn):
    found = drawn(Recaptioned(), 0.7)
    generated = {at for at, caption in found.items() if caption in GENERATED}
    assert len(generated) / len(found) == pytest.approx(0.7, abs=0.04)  # 2,000 draws: a standard error of 0.01
    assert generated == {at for at in found if derive_key(SEED, "caption kind", *at) < 0.7 * 2**63}
    assert all(found[at] == original_of(*at) for at in found.keys() - generated)
    assert Counter(found[at] for at in generated).keys() == set(GENERATED)


@pytest.mark.parametrize(("ratio", "kind"), [(0.0, ORIGINAL), (1.0, GENERATED)])
def test_the_ends_of_the_ratio_draw_one_kind(drawn, ratio: float, kind: tuple[str, ...]):
    assert set(drawn(Recaptioned(), ratio).values()) == set(kind)


def test_a_sample_with_one_kind_uses_that(drawn):
    assert drawn(Recaptioned(generated=()), 1.0) == drawn(Recaptioned(), None)
    assert set(drawn(Recaptioned(captions=()), 0.0).values()) == set(GENERATED)
    with pytest.raises(ValueError, match="recaptioned: 0 has no caption"):
        drawn(Recaptioned(captions=()), None)


def test_validation_names_a_sample_without_a_caption_of_its_own(tokenizer: Tokenizer):
    source = Recaptioned(captions=(), count=2)
    batches = CaptionBatches(source, tokenizer, 16, SEED, 0.5)
    with pytest.raises(ValueError, match="validation: 0 has no caption"):
        batches.in_order([source[0], source[1]], torch.zeros(2, 3, 8, 8), torch.arange(2))


def test_a_source_of_a_mixture_overrides_the_ratio(drawn):
    parts = [
        MixturePart(source=Recaptioned(count=5), num_per_cycle=1, generated_caption_ratio=1.0),
        MixturePart(source=Recaptioned(count=5), num_per_cycle=1),
    ]
    for ratio, of_second in ((None, ORIGINAL), (0.0, ORIGINAL), (1.0, GENERATED)):
        found = drawn(MixtureSource("mixed", parts), ratio)
        assert {caption for (_, index), caption in found.items() if index < 5} == set(GENERATED)
        assert {caption for (_, index), caption in found.items() if index >= 5} == set(of_second)


def test_a_ratio_without_generated_captions_is_an_error(tmp_path):
    config = pretrain_preset("tiny")
    config = replace(config, out=str(tmp_path / "run"), data=replace(config.data, generated_caption_ratio=0.5))
    with pytest.raises(ValueError, match=r"no generated captions in recaptioned, .*\?generated=blip"):
        pretrain(config, Recaptioned(generated=()))
    Pretraining.for_new_run(config).open_sources(Recaptioned(), Recaptioned(generated=()))
    GeneratedRatios(Recaptioned(generated=()), 0.0).check()


def test_an_error_about_large_data_says_that_samples_were_searched():
    with pytest.raises(ValueError, match=r"in recaptioned \(searched: 10,000 samples, evenly spread\)"):
        GeneratedRatios(Recaptioned(generated=(), count=10_001), 0.5).check()


def test_the_ratio_lies_between_0_and_1():
    with pytest.raises(ValueError, match=r"data\.generated_caption_ratio must be 0 to 1, got 1\.5"):
        replace(pretrain_preset("tiny").data, generated_caption_ratio=1.5)


def test_tokenizers_and_notices_count_generated_captions_where_they_are_drawn(tokenizer: Tokenizer):
    source = Recaptioned(count=1)
    assert list(all_texts(source)) == list(ORIGINAL)
    assert list(all_texts(source, with_generated=True)) == [*ORIGINAL, *GENERATED]
    assert count_truncated(source, tokenizer, 5).num_truncated == 0
    assert count_truncated(source, tokenizer, 5, with_generated=True).num_truncated == 2
