import math
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from PIL import Image, ImageDraw

from sycoca.data.scenes.content import Scene, SceneObject, Shape
from sycoca.data.scenes.layout import EXTENT, draw_scene
from sycoca.data.scenes.render import RGB, object_mask, object_masks, render

SIZE = 256
RADIUS = 0.14


def thing(shape: Shape, angle: float = 0.0) -> SceneObject:
    return SceneObject(color="red", shape=shape, size="large", center=(0.45, 0.52), radius=RADIUS, angle=angle)


def corners(shape: Shape, radius: float) -> list[tuple[float, float]]:
    """Return the corners of a shape of that radius around the origin, y down, from school geometry."""
    match shape:
        case "square":
            unit = [(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)]
        case "diamond":
            unit = [(0.0, -1.0), (1.0, 0.0), (0.0, 1.0), (-1.0, 0.0)]
        case "triangle":
            unit = [(0.0, -1.0), (math.sqrt(3) / 2, 0.5), (-math.sqrt(3) / 2, 0.5)]
        case "cross":
            quarter, unit = [(0.34, -1.0), (0.34, -0.34), (1.0, -0.34)], []
            for _ in range(4):
                unit += quarter
                quarter = [(-y, x) for x, y in quarter]
        case "star":
            turns = [(k * math.pi / 5, 1.0 if k % 2 == 0 else 0.5) for k in range(10)]
            unit = [(far * math.sin(turn), -far * math.cos(turn)) for turn, far in turns]
        case _:
            raise AssertionError(shape)
    return [(radius * x, radius * y) for x, y in unit]


@pytest.mark.parametrize("shape", get_args(Shape))
def test_a_shape_fills_the_square_of_its_radius_on_one_axis_at_least(shape):
    rows, columns = np.nonzero(object_mask(thing(shape), SIZE))
    reach = RADIUS * SIZE
    upwards, sideways = 0.52 * SIZE - rows.min(), columns.max() + 1 - 0.45 * SIZE
    assert max(upwards, sideways) == pytest.approx(reach, abs=2.5)
    assert max(rows.max() + 1 - 0.52 * SIZE, upwards, sideways) <= reach + 1.5


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
    assert not (ring & ~circle).any()
    assert ring.sum() > 0.5 * circle.sum()
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
        assert masks.sum(axis=(1, 2)).min() > 20
        widths = [max(np.ptp(np.nonzero(mask), axis=1)) for mask in masks]
        assert widths[0] >= max(widths) - 1


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
