from dataclasses import replace

import pytest

from builders.predictors import ListSource, photo_source
from sycoca.evaluation.class_labels import labeled_images, labels_of


def labeled(*labels: str) -> ListSource:
    samples = photo_source([()] * len(labels)).samples
    return ListSource(samples=tuple(replace(one, label=own) for one, own in zip(samples, labels, strict=True)))


def test_a_label_is_found_in_any_unicode_form():
    source = labeled("cafe\u0301", "tea", "caf\u00e9")
    assert labeled_images(source, 3, ["tea", "caf\u00e9"]).labels.tolist() == [1, 0, 1]
    assert labeled_images(source, 3, ["tea", "cafe\u0301"]).labels.tolist() == [1, 0, 1]
    assert labels_of(source, 3) == ["caf\u00e9", "tea"]


def test_places_may_have_leading_zeros():
    assert labeled_images(labeled("001", "0", "1"), 3, ["0", "1"]).labels.tolist() == [1, 0, 1]
    assert labeled_images(labeled("001", "1"), 2, ["1", "001"]).labels.tolist() == [1, 0]


def test_a_place_beyond_the_list_is_refused():
    message = r"the label '002' of photo-1 is none of the 2 classes: they are counted from 0 to 1"
    with pytest.raises(ValueError, match=message):
        labeled_images(labeled("001", "002"), 2, ["0", "1"])


def test_data_of_one_class_says_what_every_command_can_do():
    with pytest.raises(
        ValueError, match=r"fewer than two classes \(cat\); give data with images of others, too \(eval"
    ):
        labels_of(labeled("cat", "cat"), 2)
