from dataclasses import replace

import pytest

from builders.predictors import ListSource, photo_source
from sycoca.evaluation.class_labels import class_list_setting, labeled_images, labels_of


def labeled(*labels: str) -> ListSource:
    samples = photo_source([()] * len(labels)).samples
    return ListSource(samples=tuple(replace(one, label=own) for one, own in zip(samples, labels, strict=True)))


def test_a_label_is_found_in_any_unicode_form():
    source = labeled("cafe\u0301", "tea", "caf\u00e9")
    assert labeled_images(source, 3, ["tea", "caf\u00e9"]).labels.tolist() == [1, 0, 1]
    assert labeled_images(source, 3, ["tea", "cafe\u0301"]).labels.tolist() == [1, 0, 1]
    assert labels_of(source, 3) == ["caf\u00e9", "tea"]


def test_the_list_of_classes_does_not_depend_on_how_many_images_are_classified():
    source = labeled("tea", "tea", "milk", "water")
    assert labels_of(source, 2) == labels_of(source, 4) == ["milk", "tea", "water"]


def test_an_image_without_label_that_is_not_classified_is_no_error():
    samples = labeled("tea", "milk", "water").samples
    source = ListSource(samples=(*samples[:2], replace(samples[2], label=None)))
    assert labels_of(source, 2) == ["milk", "tea"]
    with pytest.raises(ValueError, match="photo-2 has no label"):
        labels_of(source, 3)


def test_lists_of_classes_are_told_apart():
    setting = class_list_setting(["caf\u00e9", "tea"])
    assert setting.startswith("2 classes, SHA-256 ")
    assert setting == class_list_setting(["cafe\u0301", "tea"])
    assert len({setting, class_list_setting(["tea", "caf\u00e9"]), class_list_setting(["caf\u00e9\ntea"])}) == 3


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


def test_labels_that_may_be_places_are_told_so():
    with pytest.raises(ValueError, match=r"'1' of photo-0 is none of the 2 classes \(where .*: --labels-are indices"):
        labeled_images(labeled("1"), 1, ["cat", "dog"])
    with pytest.raises(ValueError, match=r"none of the 2 classes; allowed: cat, dog; leave"):
        labeled_images(labeled("2"), 1, ["cat", "dog"])
