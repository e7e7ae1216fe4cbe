from dataclasses import fields, replace

import pytest

from builders.predictors import photo, photo_source
from sycoca.data.inspection.image_facts import ImageFacts, image_facts
from sycoca.data.inspection.photo_checks import (
    DEFAULT_THRESHOLDS,
    PhotoThresholds,
    measured,
    medians,
    num_by_kind,
    photo_issues,
)
from sycoca.data.inspection.photo_measures import PhotoMeasures
from sycoca.facts.photo_facts import PHOTO_KINDS, PhotoKind
from sycoca.unusable import SkippedSample

GOOD = PhotoMeasures(sharpness=1.5, dark_level=200, bright_level=90, information=5.0)
BROKEN = SkippedSample(name="x.jpg", reason="broken image", detail="cut short")


def facts(width: int = 300, height: int = 200, **changes: float | None) -> ImageFacts:
    return replace(image_facts(photo()), width=width, height=height, measures=replace(GOOD, **changes))


BAD: dict[PhotoKind, ImageFacts] = {
    "blurred": facts(sharpness=0.79),
    "dark": facts(dark_level=79),
    "bright": facts(bright_level=221),
    "low_information": facts(information=1.4),
    "odd_aspect": facts(width=200, height=601),
}

AT_THRESHOLD = {
    "blurred": facts(sharpness=0.8),
    "dark": facts(dark_level=80),
    "bright": facts(bright_level=220),
    "low_information": facts(information=1.5),
    "odd_aspect": facts(width=200, height=600),
}


def found(*findings: ImageFacts | SkippedSample, **changes: float) -> list[tuple[str, int]]:
    source = photo_source([("a dog",)] * 9)
    places = range(3, 3 + len(findings))
    return [
        (one.kind, one.index) for one in photo_issues(source, places, findings, replace(DEFAULT_THRESHOLDS, **changes))
    ]


@pytest.mark.parametrize("kind", PHOTO_KINDS)
def test_each_kind_is_found_beyond_its_threshold_alone(kind: PhotoKind):
    assert found(facts(), BAD[kind], AT_THRESHOLD[kind]) == [(kind, 4)]


def test_the_worst_of_each_kind_comes_first_and_unreadable_images_are_passed_over():
    dark, darker, dark_and_long = facts(dark_level=50), facts(dark_level=9), facts(900, 100, dark_level=30)
    assert found(dark, BROKEN, darker, dark_and_long) == [("dark", 5), ("dark", 6), ("dark", 3), ("odd_aspect", 6)]


def test_the_brightest_comes_first():
    assert found(facts(bright_level=230), facts(bright_level=250)) == [("bright", 4), ("bright", 3)]


def test_what_cannot_be_measured_is_not_blurred():
    assert found(facts(sharpness=None), blurred=99.0) == []


def test_thresholds_are_settings():
    assert found(facts(sharpness=1.2)) == []
    assert found(facts(sharpness=1.2), blurred=1.3) == [("blurred", 3)]
    assert {field.name for field in fields(PhotoThresholds)} - {"near_bits", "near_colors"} == set(PHOTO_KINDS)
    with pytest.raises(ValueError, match=r"near_bits must lie between 0 and 8, got 9"):
        PhotoThresholds(near_bits=9)


def test_counts_by_kind():
    issues = photo_issues(photo_source([("a",)] * 3), range(2), [BAD["dark"], BAD["dark"]], PhotoThresholds())
    assert num_by_kind(issues) == {"dark": 2}
    assert [(issue.key, issue.value) for issue in issues] == [("photo-0", 79.0), ("photo-1", 79.0)]


def test_medians_are_over_what_can_be_measured():
    found = medians([facts(sharpness=1.0, dark_level=10), facts(sharpness=None, dark_level=30), facts(sharpness=2.0)])
    assert (found["blurred"], found["dark"], found["odd_aspect"]) == (1.5, 30, 1.5)
    assert medians([]) == {}


def test_measures_are_those_of_the_picture():
    image = image_facts(photo(90, 30))
    assert (measured("odd_aspect", image), measured("dark", image)) == (3.0, float(image.measures.dark_level))
