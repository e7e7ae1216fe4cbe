import pickle

import numpy as np
import pytest

from sycoca.data.samples import SampleSource
from sycoca.data.scenes.language import named_objects, parse_caption
from sycoca.data.scenes.render import object_masks, render
from sycoca.data.scenes.source import ScenesSource


@pytest.mark.parametrize("level", ["easy", "medium", "hard"])
def test_a_sample_is_what_its_scene_shows(level):
    source = ScenesSource(level=level, count=8, seed=4, split="validation", size=48)
    for index in range(8):
        scene, sample = source.scene(index), source[index]
        assert np.array_equal(np.asarray(sample.open_image()), render(scene, 48))
        assert sample.label == scene.label
        assert len(sample.questions) >= 5
        masks = object_masks(scene, 48)
        assert sample.described_pixels is not None
        for place, caption in enumerate(sample.captions):
            facts = parse_caption(caption)
            assert facts is not None
            first, second = named_objects(facts, scene)
            assert np.array_equal(sample.described_pixels(place), masks[first] | masks[second])


def test_is_a_source_with_a_name_and_different_keys():
    source = ScenesSource(level="hard", count=5, split="test")
    assert isinstance(source, SampleSource)
    assert source.name == "scenes-hard-test"
    assert len({source[index].key for index in range(len(source))}) == len(source) == 5


def test_travels_to_workers():
    source = pickle.loads(pickle.dumps(ScenesSource(count=3, seed=2)))
    sample = pickle.loads(pickle.dumps(source[1]))
    assert np.array_equal(np.asarray(sample.open_image()), np.asarray(source[1].open_image()))


def test_ends_where_it_ends():
    source = ScenesSource(count=3)
    for index in (3, -1):
        with pytest.raises(IndexError, match=f"scenes-easy-train has scenes 0 to 2, not {index}"):
            source[index]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"count": 0}, "scenes: count must be at least 1, got 0"),
        ({"size": 15}, "scenes: size must be at least 16 pixels, got 15"),
    ],
)
def test_refuses_what_cannot_be_drawn(settings, message):
    with pytest.raises(ValueError, match=message):
        ScenesSource(**settings)
