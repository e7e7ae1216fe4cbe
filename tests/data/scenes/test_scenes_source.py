import pickle

import numpy as np
import pytest

from sycoca.data.samples import SampleSource
from sycoca.data.scenes.language import facts_of, is_true, named_objects, parse_caption
from sycoca.data.scenes.render import object_mask, object_masks, render
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


def test_a_distractor_is_an_object_that_no_caption_names():
    plain, source = (ScenesSource(level="easy", count=30, split="test", distractors=count) for count in (0, 1))
    assert source.name == "scenes-easy-test-distractor"
    for index in range(30):
        scene, sample = source.scene(index), source[index]
        (distractor,) = scene.distractors
        assert scene.objects == plain.scene(index).objects
        assert (sample.captions, sample.label) == (plain[index].captions, plain[index].label)
        assert sample.questions == ()
        assert all(distractor.color not in caption and distractor.shape not in caption for caption in sample.captions)
        assert sample.described_pixels is not None
        assert sample.object_pixels is not None
        described, objects = sample.described_pixels(0), sample.object_pixels()
        mask = object_mask(distractor, 64)
        assert mask.sum() > 30
        assert not (mask & described).any()
        assert np.array_equal(objects, described | mask)
        changed = (np.asarray(sample.open_image()) != np.asarray(plain[index].open_image())).any(axis=2)
        assert changed[mask].mean() > 0.9
        assert not changed[described].any()
        assert all(is_true(facts, scene) for facts in facts_of(scene))


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
        ({"distractors": 2}, "scenes: distractors must be 0, or 1 at level easy, got 2 at level easy"),
        ({"level": "medium", "distractors": 1}, "distractors must be 0, or 1 at level easy, got 1 at level medium"),
    ],
)
def test_refuses_what_cannot_be_drawn(settings, message):
    with pytest.raises(ValueError, match=message):
        ScenesSource(**settings)
