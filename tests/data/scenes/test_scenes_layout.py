import itertools
import math
import random

import pytest

from sycoca.data.scenes import layout as scenes_layout
from sycoca.data.scenes.content import COLORS, SHAPES, relations_between, split_of_content
from sycoca.data.scenes.language import facts_of
from sycoca.data.scenes.layout import EXTENT, draw_scene

LEVELS = ("easy", "medium", "hard")
SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module", params=LEVELS)
def scenes(request):
    return [draw_scene(request.param, split, 5, index) for split in SPLITS for index in range(40)]


def test_objects_lie_inside_and_apart(scenes):
    for scene in scenes:
        # At easy nothing is turned, and objects lie apart along one axis: their bounding squares do not touch.
        is_easy = scene.level == "easy"
        reaches = [thing.radius * (1.0 if is_easy else EXTENT[thing.shape]) for thing in scene.objects]
        for i, thing in enumerate(scene.objects):
            assert all(reaches[i] < place < 1 - reaches[i] for place in thing.center)
            for j in range(i):
                offsets = [abs(a - b) for a, b in zip(thing.center, scene.objects[j].center, strict=True)]
                assert (max(offsets) if is_easy else math.hypot(*offsets)) > reaches[i] + reaches[j] + 0.02


def test_the_first_object_is_visibly_the_largest(scenes):
    for scene in scenes:
        radii = [thing.radius for thing in scene.objects]
        assert radii == sorted(radii, reverse=True)
        assert radii[0] >= 1.08 * radii[1]


def test_objects_differ_in_color_or_shape_and_are_of_their_level(scenes):
    for scene in scenes:
        assert len({thing.label for thing in scene.objects}) == len(scene.objects)
        assert {thing.color for thing in scene.objects} <= set(COLORS[scene.level])
        assert {thing.shape for thing in scene.objects} <= set(SHAPES[scene.level])
        assert len(scene.objects) == (2 if scene.level == "easy" else 3)


def test_the_largest_object_has_a_clear_relation_to_every_other(scenes):
    for scene in scenes:
        relations = [relations_between(scene.objects[0], other) for other in scene.objects[1:]]
        assert all(relations)
        if scene.level == "easy":
            assert len(relations[0]) == 1


def test_size_classes_do_not_overlap(scenes):
    radii = {}
    for scene in scenes:
        for thing in scene.objects:
            radii.setdefault(thing.size, []).append(thing.radius)
    ordered = [radii[size] for size in ("small", "medium", "large") if size in radii]
    assert len(ordered) == (2 if scenes[0].level == "easy" else 3)
    for smaller, larger in itertools.pairwise(ordered):
        assert max(smaller) < min(larger)


@pytest.mark.parametrize("level", LEVELS)
def test_a_scene_depends_on_seed_split_and_index_alone(level):
    scene = draw_scene(level, "train", 1, 3)
    draw_scene.cache_clear()
    assert draw_scene(level, "train", 1, 3) == scene
    others = [draw_scene(level, "train", 2, 3), draw_scene(level, "test", 1, 3), draw_scene(level, "train", 1, 4)]
    assert scene not in others


def test_objects_without_a_clear_relation_to_the_largest_are_drawn_again(monkeypatch):
    found = {}
    for distance in (0.16, 0.17):
        centers = [(0.5, 0.5), (0.5 + distance, 0.5 + distance), (0.9, 0.9)]
        monkeypatch.setattr(scenes_layout, "_place_objects", lambda *_, centers=centers: centers)
        tries = [scenes_layout._try_scene("medium", random.Random(seed)) for seed in range(20)]
        found[distance] = sum(scene is not None for scene in tries)
    assert found == {0.16: 0, 0.17: 20}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("split", SPLITS)
def test_no_content_occurs_in_two_splits_whatever_the_seed(level, split):
    for seed in (0, 1):
        for index in range(25):
            assert split_of_content(draw_scene(level, split, seed, index).content) == split


def test_easy_held_out_captions_are_new_sentences():
    said = {split: set() for split in SPLITS}
    for split, seed in (("train", 0), ("train", 9), ("validation", 1), ("test", 2)):
        for index in range(500):
            said[split] |= set(facts_of(draw_scene("easy", split, seed, index)))
    assert not said["train"] & said["test"]
    assert not said["train"] & said["validation"]
    assert not said["validation"] & said["test"]


def test_easy_contents_are_about_equally_frequent():
    contents = [draw_scene("easy", "test", 0, index).content for index in range(1040)]
    counts = [contents.count(content) for content in set(contents)]
    assert set(counts) <= {1, 2, 3}
    assert len(set(contents[:500])) == 500
