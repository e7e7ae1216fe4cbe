"""Generation of scenes: objects, sizes and positions, as a function of seed, split and index."""

import itertools
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import assert_never

from sycoca.data.scenes.content import (
    CLEAR_OFFSET,
    COLORS,
    RELATIONS,
    SHAPES,
    Color,
    Level,
    Relation,
    Scene,
    SceneObject,
    Shape,
    Size,
    Split,
    describe_content,
    relations_between,
    split_of_content,
)
from sycoca.randomness import derive_key

Kind = tuple[Color, Shape]

EXTENT: dict[Shape, float] = {
    "circle": 1.0,
    "square": 1.4143,
    "triangle": 1.0,
    "cross": 1.0563,
    "star": 1.0,
    "ring": 1.0,
    "diamond": 1.0,
    "heart": 1.02,
}
"""Distance from a shape's center to its farthest point, in radii."""

RADII: dict[Level, dict[Size, tuple[float, float]]] = {
    "easy": {"large": (0.215, 0.245), "small": (0.155, 0.185)},
    "medium": {"large": (0.165, 0.19), "medium": (0.13, 0.145), "small": (0.095, 0.108)},
    "hard": {"large": (0.155, 0.185), "medium": (0.125, 0.145), "small": (0.095, 0.108)},
}
"""Range of the radius by level and size class, as a fraction of the image's side."""

_MARGIN = 0.02
_GAP = 0.03
_MOST_ANGLE = math.radians(8)

# At easy the other axis stays well below what counts as clear, so that exactly one relation holds.
_EASY_CROSS_OFFSET = 0.75 * CLEAR_OFFSET

_TRIES_PER_RADIUS = 12

# Sizes must differ visibly where classes do not say so: the largest object is named first.
_LEAST_SIZE_STEP = 1.08


@lru_cache(maxsize=65536)
def draw_scene(level: Level, split: Split, seed: int, index: int) -> Scene:
    """Return scene number ``index`` of a split; its content occurs in no other split."""
    match level:
        case "easy":
            return _draw_easy_scene(split, seed, index)
        case "medium" | "hard":
            return _draw_free_scene(level, split, seed, index)
        case unknown:
            assert_never(unknown)


@lru_cache(maxsize=4096)
def with_distractor(scene: Scene) -> Scene:
    """Return the scene with one more object, smaller than the others, where there is room for it.

    It shares neither color nor shape with another object, so captions and hard negatives stay what they are.
    """
    rng = random.Random(derive_key(scene.draw_key, "distractor"))
    colors, shapes = {thing.color for thing in scene.objects}, {thing.shape for thing in scene.objects}
    free_colors: list[Color] = [color for color in COLORS[scene.level] if color not in colors]
    free_shapes: list[Shape] = [shape for shape in SHAPES[scene.level] if shape not in shapes]
    color, shape = rng.choice(free_colors), rng.choice(free_shapes)
    radius = _draw_radius(rng, scene.level, "small")
    while True:
        for _ in range(_TRIES_PER_RADIUS):
            border = radius * EXTENT[shape] + _MARGIN
            center = (rng.uniform(border, 1 - border), rng.uniform(border, 1 - border))
            if all(
                math.dist(center, thing.center) >= radius * EXTENT[shape] + thing.radius * EXTENT[thing.shape] + _GAP
                for thing in scene.objects
            ):
                thing = SceneObject(color=color, shape=shape, size="small", center=center, radius=radius)
                return replace(scene, distractors=(thing,))
        radius *= 0.9


def _draw_free_scene(level: Level, split: Split, seed: int, index: int) -> Scene:
    """Return the first scene of a random sequence that belongs to the split."""
    rng = random.Random(derive_key(seed, f"scene {level} {split}", index))
    while True:
        scene = _try_scene(level, rng)
        if scene is not None and split_of_content(scene.content) == split:
            return scene


def _draw_easy_scene(split: Split, seed: int, index: int) -> Scene:
    """Return the next content of a shuffled list of the split's contents, so that all are about equally frequent."""
    contents = _easy_contents(split)
    num_rounds, place = divmod(index, len(contents))
    order = _shuffled_order(f"contents {split}", seed, num_rounds, len(contents))
    first, relation, second = contents[order[place]]
    rng = random.Random(derive_key(seed, f"scene easy {split}", index))
    large = _draw_radius(rng, "easy", "large")
    small = _draw_radius(rng, "easy", "small")
    centers = _place_pair(rng, relation, large, small)
    objects = (
        SceneObject(color=first[0], shape=first[1], size="large", center=centers[0], radius=large),
        SceneObject(color=second[0], shape=second[1], size="small", center=centers[1], radius=small),
    )
    return Scene(level="easy", objects=objects, draw_key=rng.getrandbits(63))


@lru_cache(maxsize=3)
def _easy_contents(split: Split) -> list[tuple[Kind, Relation, Kind]]:
    kinds = _kinds("easy")
    triples = itertools.product(kinds, RELATIONS, kinds)
    return [
        (first, relation, second)
        for first, relation, second in triples
        if first != second and split_of_content(_easy_content(first, relation, second)) == split
    ]


def _easy_content(first: Kind, relation: Relation, second: Kind) -> str:
    return describe_content([f"large {first[0]} {first[1]}", f"small {second[0]} {second[1]}"], [(relation,)])


@lru_cache(maxsize=512)  # training jumps between rounds, and an order takes as long as forty scenes
def _shuffled_order(purpose: str, seed: int, num_rounds: int, length: int) -> list[int]:
    return sorted(range(length), key=lambda place: derive_key(seed, purpose, num_rounds, place))


def _place_pair(
    rng: random.Random, relation: Relation, first_radius: float, second_radius: float
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return two centers in that relation, apart on its axis and close on the other."""
    low, high = (radius + _MARGIN for radius in (first_radius, second_radius))
    distance = rng.uniform(first_radius + second_radius + _GAP, 1 - low - high)
    near = rng.uniform(low, 1 - high - distance)
    slide = rng.uniform(-_EASY_CROSS_OFFSET, _EASY_CROSS_OFFSET)
    level = rng.uniform(max(low, high - slide), min(1 - low, 1 - high - slide))
    match relation:
        case "left of":
            return (near, level), (near + distance, level + slide)
        case "right of":
            return (1 - near, level), (1 - near - distance, level + slide)
        case "above":
            return (level, near), (level + slide, near + distance)
        case "below":
            return (level, 1 - near), (level + slide, 1 - near - distance)
        case unknown:
            assert_never(unknown)


def _try_scene(level: Level, rng: random.Random) -> Scene | None:
    """Return a scene of three objects, or None where they do not fit or their relations are unclear."""
    kinds = rng.sample(_kinds(level), 3)
    sizes = _draw_sizes(level, rng)
    radii = [_draw_radius(rng, level, size) for size in sizes]
    if radii[0] < _LEAST_SIZE_STEP * max(radii[1:]):
        return None
    centers = _place_objects(rng, [radius * EXTENT[shape] for radius, (_, shape) in zip(radii, kinds, strict=True)])
    if centers is None:
        return None
    objects = [
        SceneObject(
            color=color, shape=shape, size=size, center=center, radius=radius,
            angle=rng.uniform(-_MOST_ANGLE, _MOST_ANGLE),
        )
        for (color, shape), size, radius, center in zip(kinds, sizes, radii, centers, strict=True)
    ]  # fmt: skip
    if not all(relations_between(objects[0], other) for other in objects[1:]):
        return None
    objects.sort(key=lambda thing: -thing.radius)
    return Scene(level=level, objects=tuple(objects), draw_key=rng.getrandbits(63))


_MAY_SHARE_SIZE: Mapping[Level, bool] = {"easy": False, "medium": False, "hard": True}
"""Whether the first object may have the size class of another, by level."""


def _draw_sizes(level: Level, rng: random.Random) -> list[Size]:
    """Return three random size classes; at medium the first is larger than the others, at hard they may be equal."""
    names: list[Size] = ["large", "medium", "small"]
    first = rng.choice([0, 0, 1])
    lowest_rank = first if _MAY_SHARE_SIZE[level] else first + 1
    others = [rng.randint(lowest_rank, 2) for _ in range(2)]
    return [names[rank] for rank in (first, *others)]


def _place_objects(rng: random.Random, extents: Sequence[float]) -> list[tuple[float, float]] | None:
    centers: list[tuple[float, float]] = []
    for extent in extents:
        for _ in range(12):
            border = extent + _MARGIN
            center = (rng.uniform(border, 1 - border), rng.uniform(border, 1 - border))
            if all(
                math.dist(center, other) >= extent + reach + _GAP
                for other, reach in zip(centers, extents, strict=False)
            ):
                centers.append(center)
                break
        else:
            return None
    return centers


@lru_cache(maxsize=3)
def _kinds(level: Level) -> list[Kind]:
    return list(itertools.product(COLORS[level], SHAPES[level]))


def _draw_radius(rng: random.Random, level: Level, size: Size) -> float:
    return rng.uniform(*RADII[level][size])
