"""Rendering of scenes: anti-aliased shapes over a textured background, and the pixels of each object."""

import math
from collections.abc import Callable, Mapping
from typing import Literal, assert_never

import numpy as np
from jaxtyping import Bool, Float, UInt8

from sycoca.data.scenes.content import Color, Level, Scene, SceneObject, Shape
from sycoca.data.scenes.layout import EXTENT
from sycoca.randomness import derive_key

Plane = Float[np.ndarray, "height width"]

RGB: dict[Color, tuple[float, float, float]] = {
    "red": (0.86, 0.13, 0.15),
    "orange": (0.97, 0.53, 0.08),
    "yellow": (0.99, 0.89, 0.18),
    "green": (0.13, 0.62, 0.24),
    "cyan": (0.22, 0.82, 0.88),
    "blue": (0.13, 0.30, 0.84),
    "purple": (0.50, 0.18, 0.66),
    "pink": (0.99, 0.57, 0.77),
    "black": (0.05, 0.05, 0.06),
    "white": (0.98, 0.98, 0.97),
}
"""Red, green and blue of each color, 0 to 1."""

STRENGTHS: dict[Level, tuple[float, float]] = {
    "easy": (0.03, 0.11),
    "medium": (0.05, 0.14),
    "hard": (0.08, 0.17),
}
"""Range of the texture's amplitude by level."""

_COLOR_JITTER = 0.03
_GRAIN = 0.012
_TINT = 0.1


def render(scene: Scene, image_size: int) -> UInt8[np.ndarray, "height width 3"]:
    """Return the scene as a square 8-bit RGB image; at most a millisecond for 64 pixels."""
    rng = np.random.Generator(np.random.PCG64(derive_key(scene.draw_key, "render")))
    canvas = _background(scene.level, image_size, rng)
    grain = rng.normal(0, _GRAIN, (image_size, image_size, 1))
    for thing in scene.all_objects:
        color = np.array(RGB[thing.color]) + rng.uniform(-_COLOR_JITTER, _COLOR_JITTER, 3)
        rows, columns, coverage = _coverage(thing, image_size)
        patch = canvas[rows, columns]
        patch += coverage[:, :, None] * (color - patch)
    return ((canvas + grain).clip(0, 1) * 255 + 0.5).astype(np.uint8)


def object_mask(thing: SceneObject, image_size: int) -> Bool[np.ndarray, "height width"]:
    """Return the pixels of which the object covers more than 50 %."""
    mask = np.zeros((image_size, image_size), dtype=bool)
    rows, columns, coverage = _coverage(thing, image_size)
    mask[rows, columns] = coverage > 0.5
    return mask


def object_masks(scene: Scene, image_size: int) -> Bool[np.ndarray, "objects height width"]:
    """Return the pixels of each object, in the order of ``scene.all_objects``; they are disjoint."""
    return np.stack([object_mask(thing, image_size) for thing in scene.all_objects])


def _coverage(thing: SceneObject, image_size: int) -> tuple[slice, slice, Plane]:
    """Return the object's bounding rows and columns and its coverage of each pixel, 0 to 1."""
    radius = thing.radius * image_size
    across, down = (share * image_size for share in thing.center)
    reach = radius * EXTENT[thing.shape] + 1
    columns = slice(max(0, math.floor(across - reach)), min(image_size, math.ceil(across + reach)))
    rows = slice(max(0, math.floor(down - reach)), min(image_size, math.ceil(down + reach)))
    x = np.arange(columns.start, columns.stop)[None, :] + 0.5 - across
    y = np.arange(rows.start, rows.stop)[:, None] + 0.5 - down
    cos, sin = math.cos(thing.angle), math.sin(thing.angle)
    distance = _outside_distance(thing.shape, cos * x + sin * y, cos * y - sin * x, radius)
    return rows, columns, (0.5 - distance).clip(0, 1)


def _outside_distance(shape: Shape, x: Plane, y: Plane, radius: float) -> Plane:
    """Return the signed distance of a point (y points down) to a shape of that radius, negative inside.

    Exact near edges, which is all that anti-aliasing needs.
    """
    match shape:
        case "circle" | "ring" | "star" | "heart":
            return _round_distance(shape, x, y, radius)
        case "square" | "diamond" | "triangle" | "cross":
            return _straight_distance(shape, abs(x), y, radius)
        case unknown:
            assert_never(unknown)


def _round_distance(shape: Literal["circle", "ring", "star", "heart"], x: Plane, y: Plane, radius: float) -> Plane:
    match shape:
        case "circle":
            return np.hypot(x, y) - radius
        case "ring":
            return abs(np.hypot(x, y) - 0.775 * radius) - 0.225 * radius
        case "star":
            return _star_distance(x, y, radius)
        case "heart":
            return _heart_distance(abs(x), y, radius * 1.1716)
        case unknown:
            assert_never(unknown)


def _straight_distance(
    shape: Literal["square", "diamond", "triangle", "cross"], x: Plane, y: Plane, radius: float
) -> Plane:
    """Return the signed distance to shapes with straight edges, for their right halves."""
    match shape:
        case "square":
            return np.maximum(x, abs(y)) - radius
        case "diamond":
            return (x + abs(y) - radius) / math.sqrt(2)
        case "triangle":
            return np.maximum(math.sqrt(3) / 2 * x - y / 2, y) - radius / 2
        case "cross":
            return _cross_distance(x, abs(y), radius)
        case unknown:
            assert_never(unknown)


def _cross_distance(x: Plane, y: Plane, half: float) -> Plane:
    arm = 0.34 * half
    return np.minimum(np.maximum(x - half, y - arm), np.maximum(x - arm, y - half))


def _star_distance(x: Plane, y: Plane, outer: float) -> Plane:
    """Return the signed distance to a five-pointed star, folded to one tenth, whose edge is one line."""
    sector = 2 * math.pi / 5
    folded = abs((np.arctan2(x, -y) + sector / 2) % sector - sector / 2)
    length = np.hypot(x, y)
    inner = (0.5 * math.cos(sector / 2), 0.5 * math.sin(sector / 2))
    normal = np.array([inner[1], 1 - inner[0]]) / math.hypot(inner[1], 1 - inner[0])
    return normal[0] * (length * np.cos(folded) - outer) + normal[1] * length * np.sin(folded)


def _heart_distance(x: Plane, y: Plane, side: float) -> Plane:
    """Return the signed distance to a heart: a square on its corner with half a disk on each upper edge, centered."""
    y = y - 0.15 * side
    square = (x + abs(y)) / math.sqrt(2) - side / 2
    middle = side / (2 * math.sqrt(2))
    return np.minimum(square, np.hypot(x - middle, y + middle) - side / 2)


_HAS_TINT: Mapping[Level, bool] = {"easy": False, "medium": False, "hard": True}
"""Whether the background is colored, by level."""


def _background(level: Level, image_size: int, rng: np.random.Generator) -> Float[np.ndarray, "height width 3"]:
    gray = rng.uniform(0.42, 0.7)
    strength = rng.uniform(*STRENGTHS[level])
    pattern = _PATTERNS[rng.integers(len(_PATTERNS))](image_size, rng)[:, :, None]
    if not _HAS_TINT[level]:
        return np.repeat(gray + strength * pattern, 3, axis=2)
    tint, pattern_tint = rng.uniform(-_TINT, _TINT, (2, 3))
    return gray + tint + pattern * (strength + pattern_tint)


def _stripes(image_size: int, rng: np.random.Generator) -> Plane:
    x, y = _grid(image_size)
    angle, waves = rng.uniform(0, math.pi), rng.uniform(3, 9)
    phase = 2 * math.pi * waves * (math.cos(angle) * x + math.sin(angle) * y)
    return np.tanh(2 * np.sin(phase + rng.uniform(0, 2 * math.pi)))


def _checks(image_size: int, rng: np.random.Generator) -> Plane:
    x, y = _grid(image_size)
    waves = rng.uniform(2, 5)
    starts = rng.uniform(0, 2 * math.pi, 2)
    return np.tanh(
        6 * np.sin(2 * math.pi * waves * x + starts[0]) * np.sin(2 * math.pi * waves * y + starts[1])
    )  # fmt: skip


def _blotches(image_size: int, rng: np.random.Generator) -> Plane:
    """Return smooth noise: random values on a coarse grid, interpolated."""
    num_cells = int(rng.integers(4, 11))
    values = rng.uniform(-1.6, 1.6, (num_cells + 1, num_cells + 1))
    places = (np.arange(image_size) + 0.5) / image_size * num_cells
    cells = places.astype(int)
    share = places - cells
    share = share * share * (3 - 2 * share)
    rows = values[cells] * (1 - share[:, None]) + values[cells + 1] * share[:, None]
    return (rows[:, cells] * (1 - share) + rows[:, cells + 1] * share).clip(-1, 1)


def _slope(image_size: int, rng: np.random.Generator) -> Plane:
    x, y = _grid(image_size)
    angle = rng.uniform(0, 2 * math.pi)
    return 1.6 * (math.cos(angle) * (x - 0.5) + math.sin(angle) * (y - 0.5))


def _dots(image_size: int, rng: np.random.Generator) -> Plane:
    x, y = _grid(image_size)
    waves = rng.uniform(4, 8)
    shift = rng.uniform(0, 1, 2)
    across, down = (waves * x + shift[0]) % 1 - 0.5, (waves * y + shift[1]) % 1 - 0.5
    return np.tanh((0.3 - np.hypot(across, down)) * 1.2 * image_size / waves / 4)


def _speckles(image_size: int, rng: np.random.Generator) -> Plane:
    return rng.normal(0, 0.45, (image_size, image_size)).clip(-1, 1)


def _grid(
    image_size: int,
) -> tuple[Float[np.ndarray, "1 width"], Float[np.ndarray, "height 1"]]:
    places = (np.arange(image_size) + 0.5) / image_size
    return places[None, :], places[:, None]


_PATTERNS: tuple[Callable[[int, np.random.Generator], Plane], ...] = (
    _stripes,
    _checks,
    _blotches,
    _slope,
    _dots,
    _speckles,
)
