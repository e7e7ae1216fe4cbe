from dataclasses import replace

import pytest

from builders.predictors import ListSource, photo_source
from sycoca.data.few_shot import few_per_class, split_by_class

LABELS = ["cat"] * 10 + ["dog"] * 4 + ["owl"] * 2


def source_of(labels: list[str | None]) -> ListSource:
    samples = photo_source([()] * len(labels)).samples
    return ListSource(samples=tuple(replace(one, label=label) for one, label in zip(samples, labels, strict=True)))


def keys(source) -> list[str]:
    return [source[index].key for index in range(len(source))]


def test_takes_as_many_of_every_class():
    few = few_per_class(source_of(LABELS), 2, seed=3)
    assert [few[index].label for index in range(len(few))] == ["cat", "cat", "dog", "dog", "owl", "owl"]
    assert few.name == "a list (2 per class)"
    assert keys(few) == keys(few_per_class(source_of(LABELS), 2, seed=3))
    assert len({tuple(keys(few_per_class(source_of(LABELS), 2, seed=seed))) for seed in range(5)}) > 1


def test_more_shots_hold_the_fewer():
    cats_and_dogs = source_of(LABELS[:14])
    assert set(keys(few_per_class(cats_and_dogs, 1, 0))) < set(keys(few_per_class(cats_and_dogs, 3, 0)))


def test_parts_have_every_class_and_nothing_twice():
    first, second = split_by_class(source_of(LABELS), 0.2, seed=0)
    assert sorted([*first, *second]) == list(range(16))
    assert [LABELS[index] for index in second] == ["cat", "cat", "dog", "owl"]
    assert len({tuple(split_by_class(source_of(LABELS), 0.2, seed=seed)[1]) for seed in range(5)}) > 1


def test_what_cannot_be_had_is_refused():
    with pytest.raises(ValueError, match=r"a list has 2 samples of the class 'owl', fewer than samples_per_class 3"):
        few_per_class(source_of(LABELS), 3, 0)
    with pytest.raises(ValueError, match="samples_per_class must be at least 1, got 0"):
        few_per_class(source_of(LABELS), 0, 0)
    with pytest.raises(ValueError, match=r"photo-1 has no label; name the column"):
        few_per_class(source_of(["cat", None]), 1, 0)
