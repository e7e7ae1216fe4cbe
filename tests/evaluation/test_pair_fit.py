import pytest
import torch

from sycoca.evaluation import fit_records
from sycoca.evaluation import pair_fit as module
from sycoca.evaluation.fit_records import PairFit, one_per_image
from sycoca.evaluation.pair_fit import EmbeddedSet, pair_fit


def embedded(
    captions: list[tuple[str, ...]], images: torch.Tensor, texts: torch.Tensor, hashes: str | None = None
) -> EmbeddedSet:
    names = hashes or "".join(chr(ord("a") + number) for number in range(len(captions)))
    return EmbeddedSet(
        indices=tuple(range(10, 10 + len(captions))),
        captions=tuple(captions),
        pixel_hashes=tuple(name.encode() for name in names),
        image_embeds=images,
        text_embeds=texts,
    )


AXES = torch.eye(3)
SWAPPED = embedded([("a dog",), ("a cat",), ("a hat", "hat")], AXES, AXES[[1, 0, 2, 2]])


def test_worked_by_hand():
    found = pair_fit(SWAPPED)
    assert found is not None
    assert (found.num_images, found.num_captions, found.num_fitting_another) == (3, 4, 2)
    assert (found.mean_cosine, found.mean_other_cosine, found.chance) == (0.5, 0.25, 2 / 3)
    assert [(one.index, one.cosine, one.rank, one.other_index, one.other_cosine) for one in found.fitting_another] == [
        (10, 0.0, 3, 11, 1.0),
        (11, 0.0, 3, 10, 1.0),
    ]
    assert [one.caption for one in found.least] == ["a dog", "a cat", "a hat", "hat"]
    assert [one.rank for one in found.least] == [3, 3, 1, 1]  # ties count
    assert [one.num_others for one in found.least] == [2] * 4
    assert [one.mean_other_cosine for one in found.least] == [0.5, 0.5, 0.0, 0.0]


def test_copies_and_images_with_an_equal_caption_are_no_other_images():
    images = torch.tensor([[1.0, 0, 0], [0, 1, 0], [-0.5, -0.5, 0.5**0.5]])
    same_caption = embedded([("A dog",), ("a  dog",), ("a hat",)], images, AXES[[1, 0, 2]])
    same_pixels = embedded([("a dog",), ("a cat",), ("a hat",)], images, AXES[[1, 0, 2]], hashes="aab")
    for one in (same_caption, same_pixels):
        found = pair_fit(one)
        assert found is not None
        assert found.num_fitting_another == 0
        assert [pair.num_others for pair in found.least] == [1, 1, 2]
        # Captions of the first two images have one other image, that of the third has two.
        assert found.chance == pytest.approx((1 / 2 + 1 / 2 + 2 / 3) / 3)
        assert {pair.other_index for pair in found.least if pair.index < 12} == {12}
        # Between the first two images, which are no others of each other, the cosine is 1.
        assert found.mean_other_cosine == -0.25
    alone = pair_fit(embedded([("a",), ("a",)], AXES[:2], AXES[:2]))
    assert alone is not None
    assert [(pair.other_index, pair.other_cosine, pair.mean_other_cosine) for pair in alone.least] == [(None,) * 3] * 2
    assert (alone.chance, alone.mean_other_cosine) == (0, None)


def test_a_model_that_tells_nothing_apart_finds_no_image():
    found = pair_fit(embedded([("a dog",), ("a cat",), ("a hat",)], AXES[[0, 0, 0]], AXES[[0, 0, 0]]))
    assert found is not None
    assert (found.num_fitting_another, found.mean_cosine, found.mean_other_cosine) == (3, 1, 1)
    assert {pair.rank for pair in found.least} == {3}


def test_the_mean_of_other_images_is_over_all_pairs_of_a_caption_and_an_other_image():
    generator = torch.Generator().manual_seed(0)
    images, texts = (torch.nn.functional.normalize(torch.randn(6, 4, generator=generator)) for _ in range(2))
    found = pair_fit(embedded([("a",), ("b",), ("A",), ("d",), ("e",), ("f",)], images, texts, hashes="123433"))
    assert found is not None
    same = [{0, 2}, {1}, {0, 2, 4, 5}, {3}, {2, 4, 5}, {2, 4, 5}]
    others = [float(text @ images[row]) for text, own in zip(texts, same, strict=True) for row in set(range(6)) - own]
    assert found.mean_other_cosine == pytest.approx(sum(others) / len(others), abs=1e-6)


def test_an_image_that_fits_many_captions_is_told():
    # Three captions fit the fourth image, one the first.
    found = pair_fit(embedded([("a", "b"), ("c",), ("d",), ("e",)], torch.eye(4), torch.eye(4)[[3, 3, 3, 0, 3]]))
    assert found is not None
    assert [(pair.caption, pair.other_index, pair.num_fitting_other) for pair in found.fitting_another] == [
        ("a", 13, 3),
        ("b", 13, 3),
        ("c", 13, 3),
        ("d", 10, 1),
    ]
    assert {pair.num_fitting_other for pair in found.least} == {0}


def test_a_page_shows_a_pair_per_image_and_needs_the_images_of_both_sides(monkeypatch):
    found = pair_fit(SWAPPED)
    assert found is not None
    assert [pair.caption for pair in found.shown_least] == ["a dog", "a cat", "a hat"]
    assert [pair.caption for pair in found.shown_fitting_another] == ["a dog", "a cat"]
    assert found.shown_images == {10, 11, 12}
    monkeypatch.setattr(fit_records, "NUM_MISFITS", 1)
    assert [pair.caption for pair in (*found.shown_least, *found.shown_fitting_another)] == ["a dog", "a dog"]
    assert found.shown_images == {10, 11}


@pytest.mark.parametrize("captions", [[(), ()], [("a dog",)]])
def test_without_captions_or_other_images_there_is_nothing_to_say(captions: list[tuple[str, ...]]):
    number = sum(map(len, captions))
    assert pair_fit(embedded(captions, AXES[: len(captions)], AXES[:number])) is None


def test_parts_agree_with_the_whole_and_with_a_slow_count(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    images, texts = (torch.nn.functional.normalize(torch.randn(n, 8, generator=generator)) for n in (30, 60))
    one = embedded([(f"{n} a", f"{n} b") for n in range(30)], images, texts)
    whole = pair_fit(one)
    monkeypatch.setattr(module, "_NUMBERS_AT_A_TIME", 70)
    parts = pair_fit(one)
    assert whole is not None
    assert parts is not None
    for one_part, one_whole in zip(parts.fitting_another, whole.fitting_another, strict=True):
        assert (one_part.index, one_part.rank, one_part.other_index) == (
            one_whole.index,
            one_whole.rank,
            one_whole.other_index,
        )
    cosines = texts @ images.T
    ranks = [int((row > row[text // 2]).sum()) + 1 for text, row in enumerate(cosines)]
    assert sorted(pair.rank for pair in whole.least) == sorted(ranks)
    others = [row[torch.arange(30) != text // 2].mean() for text, row in enumerate(cosines)]
    assert whole.mean_other_cosine == pytest.approx(float(torch.stack(others).mean()), abs=1e-6)


def test_only_the_worst_are_kept(monkeypatch):
    monkeypatch.setattr(module, "NUM_PAIRS", 1)
    found = pair_fit(SWAPPED)
    assert found is not None
    assert (len(found.least), len(found.fitting_another), found.num_fitting_another) == (1, 1, 2)


def test_one_pair_per_image_is_the_first_of_each():
    def pair(index: int, caption: str) -> PairFit:
        return PairFit(
            index=index,
            caption=caption,
            cosine=0.0,
            rank=1,
            num_others=0,
            mean_other_cosine=None,
            other_index=None,
            other_cosine=None,
        )

    pairs = [pair(3, "a"), pair(1, "b"), pair(3, "c"), pair(2, "d"), pair(1, "e")]
    assert [one.caption for one in one_per_image(pairs)] == ["a", "b", "d"]
