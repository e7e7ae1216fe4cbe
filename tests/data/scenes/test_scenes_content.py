import math

import pytest

from sycoca.data.scenes.content import Scene, SceneObject, relations_between, split_of_content


def thing(x: float, y: float, color="red", shape="circle", size="large", radius=0.1) -> SceneObject:
    return SceneObject(color=color, shape=shape, size=size, center=(x, y), radius=radius)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((0.2, 0.5), (0.6, 0.5), ("left of",)),
        ((0.6, 0.5), (0.2, 0.55), ("right of",)),
        ((0.5, 0.1), (0.45, 0.9), ("above",)),
        ((0.5, 0.9), (0.5, 0.1), ("below",)),
        ((0.1, 0.1), (0.9, 0.9), ("left of", "above")),
        ((0.9, 0.9), (0.1, 0.1), ("right of", "below")),
        ((0.5, 0.5), (0.6, 0.64), ()),
        ((0.0, 0.5), (math.nextafter(1 / 6, 1), 0.5), ("left of",)),
        ((0.0, 0.5), (math.nextafter(1 / 6, 0), 0.5), ()),
    ],
)
def test_relations_hold_from_a_sixth_of_the_side_on(first, second, expected):
    assert relations_between(thing(*first), thing(*second)) == expected


def test_content_is_all_that_can_be_said_and_nothing_else():
    objects = (thing(0.2, 0.5), thing(0.8, 0.5, "blue", "star", "small"), thing(0.5, 0.9, "pink", "ring", "small"))
    scene = Scene(level="medium", objects=objects, draw_key=1)
    assert scene.content == (
        "large red circle; small blue star; small pink ring; left of; left of and above; right of and above"
    )
    moved = (thing(0.21, 0.5, radius=0.12), *objects[1:])
    assert Scene(level="medium", objects=moved, draw_key=2).content == scene.content
    assert scene.label == "red circle"


def test_an_eighth_of_all_contents_is_held_out_for_each_purpose():
    splits = [split_of_content(f"content {number}") for number in range(2000)]
    assert 200 < splits.count("validation") < 300
    assert 200 < splits.count("test") < 300
    assert splits == [split_of_content(f"content {number}") for number in range(2000)]
