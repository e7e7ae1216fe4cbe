from dataclasses import replace

import numpy as np
import pytest

from sycoca.data.inspection import duplicates
from sycoca.data.inspection.duplicates import find_duplicates
from sycoca.data.inspection.image_facts import ImageFacts
from sycoca.data.inspection.photo_measures import PhotoMeasures


def fact(number: int, perceptual_hash: int, shade: int = 100) -> ImageFacts:
    return ImageFacts(
        width=9,
        height=9,
        is_gray=False,
        pixel_hash=number.to_bytes(16, "big"),
        perceptual_hash=perceptual_hash,
        colors=bytes([shade] * 48),
        measures=PhotoMeasures(sharpness=None, dark_level=0, bright_level=0, information=0.0),
    )


def groups(facts: list[ImageFacts | None]) -> list[tuple[str, tuple[int, ...]]]:
    return [(group.match_kind, group.places) for group in find_duplicates(facts)]


def test_equal_pixels_are_exact_duplicates():
    assert groups([fact(1, 0), fact(2, 2**60 - 1), None, fact(1, 0), None]) == [("exact", (0, 3))]
    assert find_duplicates([]) == []
    assert find_duplicates([None]) == []


@pytest.mark.parametrize("bits", [(0, 20, 40, 63), (0, 1, 2, 3), (12, 13, 25, 26), (51, 52, 38, 39)])
def test_four_bits_are_near_wherever_they_are(bits):
    changed = sum(1 << bit for bit in bits)
    base = 0x0123456789ABCDEF
    assert groups([fact(1, base), fact(2, base ^ changed)]) == [("near", (0, 1))]
    fifth = next(bit for bit in range(64) if bit not in bits)
    assert groups([fact(1, base), fact(2, base ^ changed ^ (1 << fifth))]) == []


@pytest.mark.parametrize("most_bits", [0, 1, 8])
def test_other_numbers_of_bits_are_found_wherever_they_are(most_bits):
    rng = np.random.default_rng(most_bits)
    for _ in range(20):
        bits = rng.choice(64, size=most_bits + 1, replace=False)
        base = int(rng.integers(0, 2**64, dtype=np.uint64))
        near = base ^ sum(1 << int(bit) for bit in bits[:-1])
        far = base ^ sum(1 << int(bit) for bit in bits)
        assert len(find_duplicates([fact(1, base), fact(2, near)], most_bits)) == 1
        assert find_duplicates([fact(1, base), fact(2, far)], most_bits) == []


def test_the_allowed_difference_of_colors_is_a_setting():
    pair = [fact(1, 5, shade=100), fact(2, 5, shade=117)]
    assert len(find_duplicates(pair, most_color_distance=17.0)) == 1


def test_the_same_gray_shades_in_other_colors_are_another_picture():
    assert groups([fact(1, 5, shade=100), fact(2, 5, shade=116)]) == [("near", (0, 1))]
    assert groups([fact(1, 5, shade=100), fact(2, 5, shade=117)]) == []
    brighter = replace(fact(3, 5), colors=bytes([100] * 24 + [133] * 24))
    assert groups([fact(1, 5, shade=100), brighter]) == []


def test_groups_are_joined_by_neighbors_and_do_not_overlap():
    chain = [fact(number, (1 << 4 * number) - 1) for number in range(4)]
    assert groups([*chain, fact(9, 2**64 - 1), fact(0, 0)]) == [("near", (0, 1, 2, 3, 5))]


def test_finds_what_comparing_all_pairs_finds(monkeypatch):
    monkeypatch.setattr(duplicates, "_COMPARED_AT_A_TIME", 50)
    rng = np.random.default_rng(0)
    hashes = [int(value) for value in rng.integers(0, 2**64, 60, dtype=np.uint64)]
    for _ in range(200):
        flips = rng.choice(64, size=int(rng.integers(1, 7)), replace=False)
        hashes.append(hashes[int(rng.integers(len(hashes)))] ^ sum(1 << int(bit) for bit in flips))
    linked = {place: {place} for place in range(len(hashes))}
    for one in range(len(hashes)):
        for other in range(one):
            if (hashes[one] ^ hashes[other]).bit_count() <= 4 and linked[one] is not linked[other]:
                linked[one] |= linked[other]
                for place in linked[one]:
                    linked[place] = linked[one]
    expected = sorted({tuple(sorted(group)) for group in linked.values() if len(group) > 1})
    found = find_duplicates([fact(number, value) for number, value in enumerate(hashes)])
    assert [group.places for group in found] == expected
    assert len(expected) > 10


def test_many_images_alike_are_one_group():
    alike = [replace(fact(number, number % 3), colors=bytes([number % 97, number % 89] * 24)) for number in range(2000)]
    assert [(group.match_kind, len(group.places)) for group in find_duplicates(alike)] == [("near", 2000)]
