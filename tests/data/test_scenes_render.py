import math
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from PIL import Image, ImageDraw

from sycoca.data.scenes_content import Scene, SceneObject, Shape
from sycoca.data.scenes_layout import EXTENT, draw_scene
from sycoca.data.scenes_render import RGB, object_mask, object_masks, render

SIZE = 256
RADIUS = 0.14


def thing(shape: Shape, angle: float = 0.0) -> SceneObject:
    return SceneObject(color="red", shape=shape, size="large", center=(0.45, 0.52), radius=RADIUS, angle=angle)


def corners(shape: Shape, radius: float) -> list[tuple[float, float]]:
    """Return the corners of a shape of that area around the origin, y down, from school geometry."""
    area = math.pi * radius**2
    match shape:
        case "square":
            half = math.sqrt(area) / 2
            return [(-half, -half), (half, -half), (half, half), (-half, half)]
        case "diamond":
            half = math.sqrt(area / 2)
            return [(0, -half), (half, 0), (0, half), (-half, 0)]
        case "triangle":
            side = math.sqrt(area * 4 / math.sqrt(3))
            height = side * math.sqrt(3) / 2
            return [(0, -2 / 3 * height), (side / 2, height / 3), (-side / 2, height / 3)]
        case "cross":
            arm = 0.34
            half = math.sqrt(area / (8 * arm - 4 * arm**2))
            quarter = [(arm, -1), (arm, -arm), (1, -arm)]
            points = []
            for _ in range(4):
                points += quarter
                quarter = [(-y, x) for x, y in quarter]
            return [(half * x, half * y) for x, y in points]
        case "star":
            outer = math.sqrt(area / (5 * 0.5 * math.sin(math.pi / 5)))
            turns = [(k * math.pi / 5, outer if k % 2 == 0 else outer / 2) for k in range(10)]
            return [(far * math.sin(turn), -far * math.cos(turn)) for turn, far in turns]
        case _:
            raise AssertionError(shape)


@pytest.mark.parametrize("shape", get_args(Shape))
def test_shapes_of_equal_radius_have_equal_area(shape):
    area = object_mask(thing(shape, 0.1), SIZE).sum()
    assert area == pytest.approx(math.pi * (RADIUS * SIZE) ** 2, rel=0.02)


@pytest.mark.parametrize("angle", [0.0, 0.5])
@pytest.mark.parametrize("shape", ["square", "diamond", "triangle", "cross", "star"])
def test_straight_shapes_agree_with_polygons(shape, angle):
    cos, sin = math.cos(angle), math.sin(angle)
    points = [
        (0.45 * SIZE + cos * x - sin * y, 0.52 * SIZE + sin * x + cos * y) for x, y in corners(shape, RADIUS * SIZE)
    ]
    drawn = Image.new("1", (4 * SIZE, 4 * SIZE))
    ImageDraw.Draw(drawn).polygon([(4 * x, 4 * y) for x, y in points], fill=1)
    polygon = np.asarray(drawn).reshape(SIZE, 4, SIZE, 4).mean(axis=(1, 3)) > 0.5
    mask = object_mask(thing(shape, angle), SIZE)
    assert (mask ^ polygon).sum() < 0.02 * mask.sum()


def test_round_shapes_have_their_features():
    circle, ring, heart = (object_mask(thing(shape), SIZE) for shape in ("circle", "ring", "heart"))
    row, column = round(0.52 * SIZE), round(0.45 * SIZE)
    assert circle[row, column]
    assert not ring[row, column]
    assert (ring & ~circle).any()
    middle = object_mask(replace(thing("heart"), center=(0.5, 0.5)), SIZE)
    assert np.array_equal(middle, middle[:, ::-1])
    top, bottom = np.flatnonzero(heart.any(axis=1))[[0, -1]]
    # Two bumps above, one tip below.
    assert np.abs(np.diff(heart[top + 4].astype(int))).sum() == 4
    assert heart[bottom].sum() <= 3


@pytest.mark.parametrize("shape", get_args(Shape))
def test_extents_are_the_farthest_points(shape):
    rows, columns = np.nonzero(object_mask(thing(shape), SIZE))
    farthest = np.hypot(columns + 0.5 - 0.45 * SIZE, rows + 0.5 - 0.52 * SIZE).max()
    assert farthest == pytest.approx(EXTENT[shape] * RADIUS * SIZE, abs=2.5)


@pytest.mark.parametrize("level", ["easy", "medium", "hard"])
def test_masks_share_no_pixel_and_the_first_is_the_largest(level):
    for index in range(30):
        masks = object_masks(draw_scene(level, "train", 0, index), 64)
        assert masks.sum(axis=0).max() == 1
        areas = masks.sum(axis=(1, 2))
        assert areas.min() > 30
        assert areas.argmax() == 0


@pytest.mark.parametrize("level", ["easy", "medium", "hard"])
def test_objects_have_their_color(level):
    for index in range(30):
        scene = draw_scene(level, "train", 0, index)
        picture = render(scene, 64) / 255
        for each, mask in zip(scene.objects, object_masks(scene, 64), strict=True):
            mean = picture[mask].mean(axis=0)
            assert np.abs(mean - RGB[each.color]).max() < 0.12
            nearest = min(RGB, key=lambda color: np.abs(mean - RGB[color]).sum())
            assert nearest == each.color


def test_only_the_masks_pixels_and_their_edges_differ_from_the_background():
    scene = draw_scene("hard", "train", 0, 1)
    changed = (render(scene, 64) != render(replace(scene, objects=()), 64)).any(axis=2)
    masks = object_masks(scene, 64).any(axis=0)
    assert changed[masks].all()
    grown = masks.copy()
    for axis in (0, 1, 0, 1):  # pointed tips reach two pixels far
        grown |= np.roll(grown, 1, axis) | np.roll(grown, -1, axis)
    assert not changed[~grown].any()
    assert (changed & ~masks).any()


def test_backgrounds_are_textured_and_differ():
    pictures = [
        render(Scene(level=level, objects=(), draw_key=key), 64) for level in ("easy", "hard") for key in range(30)
    ]
    assert min(picture.std(axis=(0, 1)).mean() for picture in pictures) > 2
    assert len({picture.tobytes() for picture in pictures}) == len(pictures)
    spread = [float(np.ptp(picture.mean(axis=(0, 1)))) for picture in pictures]
    assert max(spread[:30]) < 1
    assert np.mean(spread[30:]) > 5


def test_a_scene_is_always_drawn_alike():
    scene = draw_scene("medium", "train", 0, 0)
    assert np.array_equal(render(scene, 64), render(scene, 64))
    assert render(scene, 96).shape == (96, 96, 3)
